"""Which background each foreground stands on.

An assignment is int64 [N], an index into the backgrounds for every foreground, or `NO_BACKGROUND`.
"""

import torch
from torch import Generator, Tensor

from bgbias.types import NO_BACKGROUND


def of_class(wanted: Tensor, background_label: Tensor, generator: Generator) -> Tensor:
    """For each foreground a random background of the wanted class.

    Args:
        wanted: [N] int64 classes; each must have at least one background.
        background_label: [M] int64.

    Returns:
        [N] int64 indices into the M backgrounds, uniform within the class.
    """
    by_class = torch.argsort(background_label, stable=True)
    count = torch.bincount(background_label)
    first = count.cumsum(0) - count
    draw = torch.rand(len(wanted), generator=generator, device=generator.device)
    return by_class[first[wanted] + (draw * count[wanted]).long()]


def of_random_class(n: int, background_label: Tensor, generator: Generator) -> Tensor:
    """For each of n foregrounds a random class that has backgrounds, then a random background of it."""
    classes = background_label.unique()
    draw = torch.randint(len(classes), (n,), generator=generator, device=generator.device)
    return of_class(classes[draw], background_label, generator)


def none(n: int) -> Tensor:
    """No background for any of n foregrounds."""
    return torch.full((n,), NO_BACKGROUND)


def biased(label: Tensor, background_label: Tensor, strength: float, generator: Generator) -> Tensor:
    """The training bias: a share `strength` of foregrounds stands on its own class's background.

    The others, exactly `round((1 - strength) * N)` of them chosen at random, stand on a background of a random
    other class.

    Args:
        label: [N] int64 foreground classes.
        background_label: [M] int64, with two classes at least where strength < 1.
        strength: in [0, 1].

    Returns:
        [N] int64 indices into the M backgrounds.
    """
    wanted = label.clone()
    unbiased = torch.randperm(len(label), generator=generator)[: round((1 - strength) * len(label))]
    if len(unbiased):
        classes = background_label.unique()
        step = torch.randint(1, len(classes), (len(unbiased),), generator=generator)
        position = torch.searchsorted(classes, label[unbiased])
        wanted[unbiased] = classes[(position + step) % len(classes)]
    return of_class(wanted, background_label, generator)
