"""Results of analyses of a checkpoint, stored beside it for the report of its study."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from bgbias.files import atomically
from study.display import finite

CHALLENGE, SALIENCY, FLOW = "challenge.json", "saliency.json", "flow.json"
"""The files of `study evaluate --challenge`, `study saliency` and `study flow`."""


class ChallengeResult(TypedDict):
    """The part of `study evaluate --challenge` that reports show; a trial's own metrics give the accuracy alone."""

    accuracy: float
    interval: NotRequired[list[float]]
    foregrounds: NotRequired[int]
    backgrounds: NotRequired[int]


class SharesResult(TypedDict):
    """The shares of one variant."""

    mask_area: float
    object_saliency: dict[str, float]


class SaliencyResult(TypedDict):
    """The part of `study saliency` that reports show."""

    variants: dict[str, SharesResult]
    picture: NotRequired[str]


class FlowResult(TypedDict):
    """The result of `study flow` (`bgbias.methods.flow.quality`).

    samples: their number, chosen on validation data
    base: measures of how normal the noise of true moves is
    classes: by background class, the tests of samples against true moves
    accuracy: by test variant, the number of `images`, the accuracy of the frozen `backbone`, and that of each vote by
        the number of samples
    """

    dataset: str
    samples: int
    vote: str
    bits_per_dimension: dict[str, float]
    base: dict[str, float]
    classes: dict[str, dict[str, Any]]
    density: float
    coverage: float
    agreement: float
    accuracy_sampled: float
    accuracy_true: float
    inversion_error: float
    accuracy: dict[str, dict[str, Any]]


class Results(TypedDict):
    """The stored results of the three commands for one checkpoint; None for a command that did not run."""

    challenge: ChallengeResult | None
    saliency: SaliencyResult | None
    flow: FlowResult | None


def leave(checkpoint: Path, name: str, found: Mapping[str, object]) -> None:
    """Write results beside a checkpoint's files, if its folder can be written."""
    if os.access(checkpoint, os.W_OK):
        with atomically(checkpoint / name) as partial:
            partial.write_text(json.dumps(finite(dict(found)), allow_nan=False))


def left(checkpoint: Path) -> Results:
    """Read the results of analyses beside a checkpoint's files; None if there is none, or it cannot be read."""
    challenge, saliency, flow = (_read(checkpoint / name) for name in (CHALLENGE, SALIENCY, FLOW))
    return {"challenge": challenge, "saliency": saliency, "flow": flow}


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None
