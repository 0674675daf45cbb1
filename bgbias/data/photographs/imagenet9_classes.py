"""ImageNet-9's nine classes, and which of them each ImageNet-1000 class belongs to.

Source: K. Xiao et al., "Noise or Signal", 2020 (arXiv 2006.09994), and its release. A class gathers the ImageNet-1000
classes below one WordNet synset: n02084071, n01503061, n04576211, n01661091, n02075296, n02159955, n03800933,
n02469914 and n02512053, in the order of `CLASSES`.
"""

CLASSES = (
    "00_dog",
    "01_bird",
    "02_wheeled vehicle",
    "03_reptile",
    "04_carnivore",
    "05_insect",
    "06_musical instrument",
    "07_primate",
    "08_fish",
)
"""The folder names, in the order of the class indices 0..8."""

IMAGENET_CLASSES = 1000
NO_CLASS = -1
"""Number to which an ImageNet-1000 class is mapped that belongs to none of the nine."""

_MEMBERS = (
    "151-170 173-268",
    "7-24 87-100 127-146",
    "407-408 428 436 444 468 511 547 555 561 565 569 573 586 603 609 612 627 656 661 665 670-671 675 690 705 717 734 "
    "751 757 791 802-803 817 820 829 847 864 866-867 870 880",
    "33-68",
    "269-280 286-299 356-362 387-388",
    "300-326",
    "401-402 420 432 486 494 513 541 546 558 566 577 579 593-594 641-642 683-684 687 699 776 822 875 881 889",
    "365-384",
    "0-6 389-397",
)
"""By class, its ImageNet-1000 indices: numbers and ranges whose both ends belong."""


def _indices(members: str) -> list[int]:
    found: list[int] = []
    for part in members.split():
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return found


def _class_of_imagenet() -> tuple[int, ...]:
    mapped = [NO_CLASS] * IMAGENET_CLASSES
    for label, members in enumerate(_MEMBERS):
        for index in _indices(members):
            mapped[index] = label
    return tuple(mapped)


CLASS_OF_IMAGENET = _class_of_imagenet()
"""For each of the 1000 ImageNet indices, in the order of the sorted synsets: the class 0..8, or -1. 370 have one."""
