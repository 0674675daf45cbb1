"""Splits of pictures by class or group."""

import math

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from bgbias.errors import DataError

Numbers = NDArray[np.int64]


def stratified(label: Numbers, held_out: int | float, seed: int) -> tuple[Numbers, Numbers]:
    """Divide pictures at random so that every class has its share on both sides.

    The split is the one of scikit-learn's `train_test_split(stratify=label, random_state=seed)`, whose import takes two
    seconds in every process.

    Args:
        label: class or group of each picture, shape (pictures,).
        held_out: number of pictures to hold out, or their share below 1, rounded up.
        seed: seed of the draws.

    Returns:
        Positions of the kept and of the held-out pictures, each in ascending order.

    Raises:
        DataError: a class or group has a single picture, or one side has fewer pictures than there are of them.
    """
    count = math.ceil(held_out * len(label)) if isinstance(held_out, float) else held_out
    classes, sizes = np.unique(label, return_counts=True)
    if sizes.min() < 2:
        raise DataError("a class or group has a single picture, and each side needs one")
    if min(count, len(label) - count) < len(classes):
        raise DataError(
            f"{len(label) - count} and {count} pictures are too few for {len(classes)} classes or groups on each side"
        )
    random = RandomState(seed)
    kept_sizes = _shares(sizes, len(label) - count, random)
    held_sizes = _shares(sizes - kept_sizes, count, random)
    kept, held = [], []
    for value, kept_size, held_size in zip(classes, kept_sizes, held_sizes, strict=True):
        members = random.permutation(np.flatnonzero(label == value))
        kept.append(members[:kept_size])
        held.append(members[kept_size : kept_size + held_size])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(held))


def _shares(sizes: Numbers, total: int, random: RandomState) -> Numbers:
    """Number of `total` draws that each class gets, by its size, rounded by largest remainder, ties at random."""
    exact = sizes / sizes.sum() * total
    shares = np.floor(exact)
    remainder = exact - shares
    left = int(total - shares.sum())
    for value in np.unique(remainder)[::-1]:
        if left == 0:
            break
        tied = np.flatnonzero(remainder == value)
        chosen = random.choice(tied, size=min(left, len(tied)), replace=False)
        shares[chosen] += 1
        left -= len(chosen)
    rounded: Numbers = shares.astype(np.int64)
    return rounded
