"""Mask files: which pixels are object, and what a set of masks that breaks the rules may be instead.

Any value but 0 is object, but for a void value where one was given (VOC draws its borders in 255). Where a mask picture
has an alpha channel that is not the same everywhere, that is the mask: object where it is at least half opaque.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from bgbias.data.photographs.picture import Array, PictureHeader, upright
from bgbias.errors import DataError
from bgbias.prepare.build.variants import Mask

ALPHA_MODES = frozenset({"LA", "PA", "RGBA"})
HALF = 128
MOST_SHADES = 16
INVERTED = "cover more than half of the picture's border: inverted?"
SOFT = f"hold more than {MOST_SHADES} shades: soft? give masks of 0 and one other value"


def read_mask(path: Path, picture: PictureHeader, void: int | None) -> tuple[Mask, str | None]:
    """A mask file, .npy [H, W] or a picture, as its picture is shown: [H, W] bool; and what is odd about it.

    Raises:
        DataError: it is not as wide and high as its picture, neither as that is shown nor as it is stored.
        One of `UNREADABLE`: the file is damaged or no picture.
    """
    values = np.load(path, allow_pickle=False) if path.suffix.lower() == ".npy" else _drawn(path)
    colors = values[..., None] if values.ndim == 2 else values
    mask: Mask = (colors != 0).any(axis=-1)
    if void is not None:
        mask &= ~(colors == void).all(axis=-1)
    shown = picture.mask_as_shown(mask) if mask.ndim == 2 else None
    if shown is None:
        shape = " x ".join(str(side) for side in reversed(values.shape[:2]))
        width, height = picture.shown
        raise DataError(f"its mask of {shape} pixels does not fit the picture of {width} x {height}")
    return shown, oddity(shown, colors)


def _drawn(path: Path) -> Array:
    """The values of a mask picture, [H, W] or [H, W, channels]."""
    with Pillow.open(path) as opened:
        values = np.asarray(upright(opened))
    if opened.mode not in ALPHA_MODES:
        return values
    alpha = values[..., -1]
    return alpha >= HALF if alpha.min() != alpha.max() else values[..., :-1]


def oddity(mask: Mask, values: Array) -> str | None:
    """Describe what is unusual about a mask; None if nothing is."""
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if border.mean() > 1 / 2:
        return INVERTED
    return SOFT if len(np.unique(values.max(axis=-1))) > MOST_SHADES else None


def oddities(found: Iterable[str | None]) -> list[str]:
    """List what is unusual about more than half of all masks, such as `45 of 45 masks cover ...`."""
    masks = list(found)
    counts = {odd: masks.count(odd) for odd in (INVERTED, SOFT)}
    return [f"{n} of {len(masks)} masks {odd}" for odd, n in counts.items() if 2 * n > len(masks)]
