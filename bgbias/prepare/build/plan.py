"""Split of each picture and background of each object: functions of the seed and the names.

Neither depends on the order of work, nor on how many numbers were drawn before.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from bgbias.data.photographs import layout
from bgbias.errors import DataError
from bgbias.randomness import derive

Members = Mapping[str, Sequence[str]]
"""By class, in the order of the classes, the sorted names of the kept pictures of one split."""

NEEDED = 2
"""Kept pictures of each class in each split: one more than the one whose background is replaced."""


def splits(names: Sequence[str], ratios: tuple[float, float, float], seed: int) -> dict[str, str]:
    """The split of each kept picture of one class: shuffled, and cut at the rounded cumulated ratios.

    Args:
        ratios: shares of train, val and test; their sum is 1.
    """
    shuffled = sorted(names, key=lambda name: (derive(seed, f"split {name}"), name))
    end_of_train = round(len(shuffled) * ratios[0])
    end_of_val = round(len(shuffled) * (ratios[0] + ratios[1]))
    parts = (shuffled[:end_of_train], shuffled[end_of_train:end_of_val], shuffled[end_of_val:])
    return {name: split for split, part in zip(layout.SPLITS, parts, strict=True) for name in part}


def donors(name: str, class_name: str, members: Members, seed: int) -> dict[str, str]:
    """Whose background a picture of a split is mixed with, by variant; never its own.

    `mixed_same` draws among its class, `mixed_rand` among a class drawn first, all equally likely, `mixed_next` among
    the class that follows its own, the first after the last.

    Args:
        members: at least two of each class.
    """
    classes = list(members)
    following = classes[(classes.index(class_name) + 1) % len(classes)]
    anyone = classes[derive(seed, f"class of {layout.MIXED_RAND} {name}") % len(classes)]
    drawn = {layout.MIXED_SAME: class_name, layout.MIXED_RAND: anyone, layout.MIXED_NEXT: following}
    return {variant: _other(members[of], name, derive(seed, f"{variant} {name}")) for variant, of in drawn.items()}


def _other(names: Sequence[str], name: str, number: int) -> str:
    """One of the sorted names but `name`, whichever a large random number falls on."""
    at = bisect_left(names, name)
    is_there = at < len(names) and names[at] == name
    index = number % (len(names) - is_there)
    return names[index + (is_there and index >= at)]


def check_enough(members: Mapping[str, Members], why: str) -> None:
    """Refuse splits in which some class has no two pictures to mix.

    Args:
        members: by split.
        why: what to say of the pictures that were not kept; may be empty.

    Raises:
        DataError: one has fewer.
    """
    few = [
        f"{class_name} has {len(names)} in {split}"
        for split, of_split in members.items()
        for class_name, names in of_split.items()
        if len(names) < NEEDED
    ]
    if few:
        reason = f" ({why})" if why else ""
        raise DataError(
            f"every class needs {NEEDED} kept pictures in each split to be mixed, but {', '.join(few)}{reason}: "
            "give more pictures, or other --ratios and another --out"
        )
