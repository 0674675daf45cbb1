"""Layout of an ImageNet-9 folder, and the meaning of its files' names.

    ROOT/<variant>/{train,val}/<class>/<name>.JPEG                  training archives, and what `build` writes
    ROOT/fg_mask/{train,val}/<class>/<name>.npy
    ROOT/unmasked/train/<class>/<name>.JPEG                         training pictures without a mask, from `build`
    ROOT/bg_challenge/<variant>/val/<class>/<name>.JPEG             the released test set
    ROOT/bg_challenge/fg_mask/val/<class>/<name>.npy

A mixed picture is called fg_<foreground>_bg_<background>.JPEG and lies in its foreground's class. Several classes may
have pictures of one name, but not one that a released mixed picture names as its background.
Source: K. Xiao et al., "Noise or Signal", 2020 (arXiv 2006.09994), and its release.
"""

from pathlib import Path

MIXED_SAME, MIXED_RAND, MIXED_NEXT = "mixed_same", "mixed_rand", "mixed_next"
ONLY_FG, NO_FG, ONLY_BG_B, ONLY_BG_T = "only_fg", "no_fg", "only_bg_b", "only_bg_t"
ORIGINAL = "original"
VARIANTS = (ORIGINAL, MIXED_SAME, MIXED_RAND, MIXED_NEXT, ONLY_FG, NO_FG, ONLY_BG_B, ONLY_BG_T)
MIXED = (MIXED_SAME, MIXED_RAND, MIXED_NEXT)
FG_MASK = "fg_mask"
UNMASKED = "unmasked"
"""The folder of training pictures without a mask, which have no variants."""

TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)
RELEASE = "bg_challenge"

PICTURE_ENDINGS = frozenset({".jpeg", ".jpg", ".png"})


def split_folder(root: Path, part: str, split: str) -> Path:
    """The folder that holds the class folders of a variant, or of `fg_mask`, in `train`, `val` or `test`."""
    return root / RELEASE / part / VAL if split == TEST else root / part / split


def mixed_name(foreground: str, background: str) -> str:
    """Name of the mixed picture of two sources, without its ending."""
    return f"fg_{foreground}_bg_{background}"


def mixed_sources(name: str) -> tuple[str, str] | None:
    """The foreground and the background of a mixed picture's name, or None for another name."""
    front, joint, back = name.removeprefix("fg_").partition("_bg_")
    return (front, back) if name.startswith("fg_") and joint and front and back else None


def source(name: str) -> str:
    """The source picture that a foreground's or a plain picture's name refers to."""
    mixed = mixed_sources(name)
    return mixed[0] if mixed else name.removeprefix("fg_").removeprefix("bg_")
