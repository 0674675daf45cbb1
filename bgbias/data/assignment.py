"""Assignments of backgrounds to foregrounds.

An assignment is int64 [N], an index into the backgrounds for every foreground, or `NO_BACKGROUND`.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from bgbias.types import NO_BACKGROUND, Batch


@dataclass(frozen=True, eq=False)
class Sorted:
    """M backgrounds by class.

    classes: [C] int64, rising, those that have backgrounds
    rows: [M] int64, the backgrounds, class after class
    first, count: [highest class + 1] int64, where in `rows` each class begins, and how many it has
    """

    classes: Tensor
    rows: Tensor
    first: Tensor
    count: Tensor


@functools.lru_cache(maxsize=16)
def by_class(background_label: Tensor) -> Sorted:
    """Backgrounds by class, of their labels ([M] int64, which nobody changes).

    Sorted once for each tensor, not for each batch, for which an accelerator would have to wait.
    """
    count = torch.bincount(background_label)
    return Sorted(
        classes=background_label.unique(),
        rows=torch.argsort(background_label, stable=True),
        first=count.cumsum(0) - count,
        count=count,
    )


def of_class(wanted: Tensor, background_label: Tensor, generator: Generator) -> Tensor:
    """Choose for each foreground a random background of the wanted class.

    Args:
        wanted: [N] int64 classes; each must have at least one background.
        background_label: [M] int64.

    Returns:
        [N] int64 indices into the M backgrounds, uniform within the class.
    """
    found = by_class(background_label)
    draw = torch.rand(len(wanted), generator=generator, device=generator.device)
    return found.rows[found.first[wanted] + (draw * found.count[wanted]).long()]


def of_random_class(n: int, background_label: Tensor, generator: Generator) -> Tensor:
    """For each of n foregrounds a random class that has backgrounds, then a random background of it."""
    classes = by_class(background_label).classes
    draw = torch.randint(len(classes), (n,), generator=generator, device=generator.device)
    return of_class(classes[draw], background_label, generator)


def other_class(given: Tensor, background_label: Tensor, generator: Generator) -> Tensor:
    """Choose for each given class ([N] int64) a random other class that has backgrounds: [N] int64.

    Args:
        background_label: [M] int64, of two classes at least.
    """
    classes = by_class(background_label).classes
    step = torch.randint(1, len(classes), (len(given),), generator=generator, device=generator.device)
    return classes[(torch.searchsorted(classes, given) + step) % len(classes)]


def elsewhere(batch: Batch, generator: Generator) -> Tensor:
    """For each example of a batch a random background of a class that it does not stand on: [B] int64."""
    place = batch.backgrounds.place
    return of_class(other_class(batch.place, place, generator), place, generator)


def none(n: int) -> Tensor:
    """No background for any of n foregrounds."""
    return torch.full((n,), NO_BACKGROUND)


def biased(
    label: Tensor, background_label: Tensor, bias_strength: float | Sequence[float], generator: Generator
) -> Tensor:
    """Assign backgrounds with the training bias.

    A share `bias_strength` of foregrounds stands on a background of its own class. The others, exactly
    `round((1 - bias_strength) * N)` chosen at random, stand on a background of a random other class. With a strength
    for each class, so do `round((1 - bias_strength) * n)` of each class's n.

    Args:
        label: [N] int64 foreground classes.
        background_label: [M] int64, with two classes at least where bias_strength < 1.
        bias_strength: in [0, 1], one for all or K.

    Returns:
        [N] int64 indices into the M backgrounds.
    """
    wanted = label.clone()
    everything = torch.arange(len(label))
    parts = (
        [(everything, bias_strength)]
        if isinstance(bias_strength, float | int)
        else by_bias_strength(label, bias_strength)
    )
    chosen = [
        rows[torch.randperm(len(rows), generator=generator)[: round((1 - share) * len(rows))]] for rows, share in parts
    ]
    unbiased = torch.cat(chosen)
    if len(unbiased):
        wanted[unbiased] = other_class(label[unbiased], background_label, generator)
    return of_class(wanted, background_label, generator)


def by_bias_strength(label: Tensor, bias_strength: Sequence[float]) -> list[tuple[Tensor, float]]:
    """The rows of each class with its strength."""
    return [((label == number).nonzero()[:, 0], share) for number, share in enumerate(bias_strength)]
