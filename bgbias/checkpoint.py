"""One checkpoint format for every method: a folder that holds all that evaluating needs, and nothing pickled.

config.json             the run's configuration, epoch and metrics
model.safetensors       the module's weights
predictions.safetensors by `<split>/<variant>` the answer to every image, int16, and by `<split>/<variant>/label` the
                        right one; empty where the epoch was not judged
sha256.json             the seal: a checksum of each of these
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bgbias.config import RunConfig
from bgbias.errors import BgbiasError, CheckpointError
from bgbias.evaluation.accuracy import Predictions
from bgbias.files import verify_checksums, write_checksums

CONFIG, MODEL, PREDICTIONS = "config.json", "model.safetensors", "predictions.safetensors"
LABEL = "label"


@dataclass(frozen=True)
class Checkpoint:
    """A trained module's weights and where they come from.

    epoch: how many epochs it was trained
    metrics: as they were reported at that epoch
    """

    config: RunConfig
    epoch: int
    metrics: dict[str, float]
    weights: dict[str, Tensor]


def save(
    folder: Path,
    config: RunConfig,
    epoch: int,
    metrics: Mapping[str, float],
    module: nn.Module,
    predictions: Mapping[str, Predictions],
) -> None:
    """Write a checkpoint into `folder`, which is made where needed."""
    folder.mkdir(parents=True, exist_ok=True)
    described = {"config": config.to_flat(), "epoch": epoch, "metrics": dict(metrics)}
    (folder / CONFIG).write_text(json.dumps(described, indent=1))
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, folder / MODEL)
    answers = {key: found.prediction.to(torch.int16) for key, found in predictions.items()}
    labels = {f"{key}/{LABEL}": found.label.to(torch.int16) for key, found in predictions.items()}
    save_file({**answers, **labels}, folder / PREDICTIONS)
    write_checksums(folder)


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint, weights on the CPU.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    described = read_description(folder)
    try:
        weights = load_file(folder / MODEL)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / MODEL} cannot be read ({error}): give a whole checkpoint") from None
    verify_checksums(folder, MODEL)
    try:
        config = RunConfig.from_flat(described["config"])
    except BgbiasError as error:
        raise CheckpointError(f"{folder / CONFIG} does not fit this version ({error})") from None
    return Checkpoint(
        config=config,
        epoch=described["epoch"],
        metrics=described["metrics"],
        weights=weights,
    )


def read_right(folder: Path, key: str) -> Tensor:
    """Whether each image of `<split>/<variant>` was answered rightly: [N] bool.

    Raises:
        CheckpointError: that was not kept, or the file is missing or damaged.
    """
    try:
        found = load_file(folder / PREDICTIONS)
        right: Tensor = found[key] == found[f"{key}/{LABEL}"]
    except (OSError, SafetensorError, KeyError) as error:
        raise CheckpointError(
            f"{folder / PREDICTIONS} does not tell {key} ({error}): train again with this version"
        ) from None
    verify_checksums(folder, PREDICTIONS)
    return right


def read_description(folder: Path) -> dict[str, Any]:
    """A checkpoint's "config", "epoch" and "metrics", without its weights.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    try:
        described = json.loads((folder / CONFIG).read_text())
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {folder}: give a folder that holds {CONFIG}") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG} cannot be read ({error}): give a whole checkpoint") from None
    if not isinstance(described, dict) or not {"config", "epoch", "metrics"} <= described.keys():
        raise CheckpointError(f"{folder / CONFIG} lacks config, epoch or metrics: give a whole checkpoint")
    found: dict[str, Any] = described
    return found


def restore(module: nn.Module, checkpoint: Checkpoint) -> None:
    """Put the checkpoint's weights into a module built from its configuration.

    Raises:
        CheckpointError: the weights do not fit.
    """
    try:
        module.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"the weights do not fit the checkpoint's own configuration: {reason}") from None
