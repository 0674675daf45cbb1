"""Turning plain digits into a dataset whose background gives the class away."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator
from torch import Tensor

from bgbias.data import assignment, bias_strength
from bgbias.data.dataset import ORIGINAL, REMOVED, SHUFFLED, Dataset, Variant
from bgbias.data.digits.sources import CLASSES, Digits, DigitSplits
from bgbias.randomness import stream
from bgbias.types import Backgrounds, Foregrounds

PALETTES = {
    "reproduced": (
        (255, 0, 0), (255, 135, 0), (255, 211, 0), (255, 211, 10), (161, 211, 10),
        (10, 255, 153), (10, 239, 255), (20, 125, 245), (88, 10, 255), (190, 10, 255),
    ),
    "separated": (
        (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255),
        (0, 255, 255), (128, 0, 0), (0, 128, 0), (0, 0, 128), (128, 128, 128),
    ),
}  # fmt: skip
"""RGB per class. `reproduced` is the 2022 study's (its colours 2 and 3 differ by 10 in blue alone); in
`separated` any two colours differ by at least 127 in some channel."""


def checked_bias_strength(given: Any) -> Any:
    """A strength in [0, 1], or ten with commas between as text.

    Raises:
        ValueError: it is neither.
    """
    rule = f"must be a number in [0, 1], or {len(CLASSES)} of them with commas between, one for each class"
    if str(given).count(",") not in (0, len(CLASSES) - 1):
        raise ValueError(rule)
    try:
        return bias_strength.checked(given)
    except ValueError:
        raise ValueError(rule) from None


BiasStrength = Annotated[float | str, BeforeValidator(checked_bias_strength)]
"""The share of training images that carry the bias, one for all classes or ten with commas between."""


def bias_strengths(bias_strength: float | str) -> float | list[float]:
    """A checked strength as one number or one for each class."""
    return [float(part) for part in bias_strength.split(",")] if isinstance(bias_strength, str) else bias_strength


def one_pixel_mask(image: Tensor) -> Tensor:
    """All but the first row is foreground: [N, 1, H, W] bool."""
    mask = torch.ones_like(image, dtype=torch.bool)
    mask[:, :, 0] = False
    return mask


def ink_mask(image: Tensor) -> Tensor:
    """The ink is foreground, the paper (exactly 0) background: [N, 1, H, W] bool."""
    return image > 0


def one_pixel_backgrounds(height: int, width: int, intensity: float) -> Backgrounds:
    """Per class a dark picture with the pixel at (row 0, column = class) lit."""
    image = torch.zeros(len(CLASSES) + 1, 1, height, width)
    label = torch.arange(len(CLASSES))
    image[label, 0, 0, label] = intensity
    return Backgrounds(image, label, len(CLASSES))


def colored_backgrounds(palette: str) -> Backgrounds:
    """Per class one colour, as [11, 3, 1, 1] in [0, 1]; the last is black."""
    colors = torch.tensor([*PALETTES[palette], (0, 0, 0)])
    return Backgrounds(colors[:, :, None, None] / 255, torch.arange(len(CLASSES)), len(CLASSES))


@dataclass(frozen=True)
class Bias:
    """Settings by which digits get their backgrounds.

    strength: share of training images on their own class's background, as `checked_bias_strength` gives it
    last_class: True if `shuffled` also draws the last class
    seed: seed of the assignments, so that every run is evaluated on the same pictures
    """

    strength: float | str
    last_class: bool
    seed: int


def biased_dataset(
    name: str, digits: DigitSplits, mask: Callable[[Tensor], Tensor], backgrounds: Backgrounds, bias: Bias
) -> Dataset:
    """Train with the bias at its strength; validate and test on `original`, `shuffled` and `removed`.

    Args:
        mask: images [N, 1, H, W] uint8 to foreground masks [N, 1, H, W] bool.
    """

    def cut(part: Digits) -> Foregrounds:
        return Foregrounds(part.image, mask(part.image), part.label, part.source, place=part.label)

    front, strengths = cut(digits.train), bias_strengths(bias.strength)
    behind = assignment.biased(front.label, backgrounds.place, strengths, stream(bias.seed, "train bias"))
    return Dataset(
        name=name,
        classes=CLASSES,
        places=CLASSES,
        train=Variant(front, backgrounds, behind),
        validation=_variants(cut(digits.validation), backgrounds, bias, "validation"),
        test=_variants(cut(digits.test), backgrounds, bias, "test"),
    )


def _variants(front: Foregrounds, back: Backgrounds, bias: Bias, split: str) -> dict[str, Variant]:
    drawn = back.place if bias.last_class else back.place[back.place < len(CLASSES) - 1]
    assignments = {
        ORIGINAL: assignment.biased(front.label, back.place, 1.0, stream(bias.seed, f"{split} {ORIGINAL}")),
        SHUFFLED: assignment.of_random_class(len(front), drawn, stream(bias.seed, f"{split} {SHUFFLED}")),
        REMOVED: assignment.none(len(front)),
    }
    return {name: Variant(front, back, chosen) for name, chosen in assignments.items()}
