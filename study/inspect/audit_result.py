"""Results of an audit."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bgbias.data.dataset import Variant
from bgbias.evaluation.evaluator import Predictions
from bgbias.evaluation.statistics import wilson_interval
from bgbias.table import Table


@dataclass(frozen=True)
class Estimate:
    """A share or a difference of shares, and its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, total: int) -> "Estimate":
        """A share with Wilson's interval."""
        return cls(hits / total, *wilson_interval(hits, total))


@dataclass(frozen=True)
class VariantResult:
    """A variant's accuracy.

    worst_class: the class with the lowest accuracy, and that accuracy with its interval
    """

    images: int
    accuracy: Estimate
    worst_class: str
    worst_class_accuracy: Estimate


@dataclass(frozen=True)
class BackgroundAlone:
    """Measures of how often the background alone decides.

    right: the share of pictures without their object (Only-BG-T) that are predicted as the object's class
    chance: 1 / K
    followed: of objects on a background of another class, the share that is predicted as the background's class
    flipped: of objects that are right on their own background, the share that is wrong on one of the next class
    """

    right: Estimate
    chance: float
    followed: Estimate | None
    flipped: Estimate | None


@dataclass(frozen=True)
class Look:
    """The mean share of the input gradient inside the objects, and of the pictures' area that these cover."""

    images: int
    share: float
    area: float


@dataclass(frozen=True)
class AuditedChallenge:
    """The Background Challenge: the share of objects that no background fools.

    fooled: object, background and prediction of every object that one fools
    """

    robust: Estimate
    objects: int
    backgrounds: int
    fooled: list[dict[str, str]]


@dataclass(frozen=True)
class Audit:
    """The result of an audit.

    model: what it was, by name of the property
    data: the folder of the variants
    bg_gap: Mixed-Same minus Mixed-Rand accuracy; the interval resamples objects
    places: accuracy of each class (row) on backgrounds of each class (column) over the mixed variants; NaN if there
        are no pictures
    counts: the number of pictures of each cell
    looks: by variant, the share of the input gradient on the object; empty for a model without gradients
    advice: three lines on what to do next
    """

    model: dict[str, str]
    data: str
    classes: tuple[str, ...]
    variants: dict[str, VariantResult]
    bg_gap: Estimate
    places: Table
    counts: Table
    alone: BackgroundAlone
    looks: dict[str, Look]
    challenge: AuditedChallenge | None
    advice: tuple[str, str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        found = dataclasses.asdict(dataclasses.replace(self, places=None, counts=None))  # type: ignore[arg-type]
        return {
            **found,
            "classes": list(self.classes),
            "places": self.places.to_json(),
            "counts": self.counts.to_json(),
        }


def right_by_source(variant: Variant, found: Predictions) -> dict[int, bool]:
    """By source picture, whether its object is predicted correctly."""
    right = (found.label == found.prediction).tolist()
    return dict(zip(variant.foregrounds.source.tolist(), right, strict=True))


def class_name(classes: Sequence[str], number: int) -> str:
    """A prediction's class; an output of no class is called so."""
    return classes[number] if number < len(classes) else "none of these"
