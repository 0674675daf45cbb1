"""Colours of an embedded ICC profile (Display P3, Adobe RGB, a press's CMYK) as those of sRGB, which screens show.

- Colours are converted by Little CMS with perceptual intent.
- A profile counts as sRGB where it moves no colour of a grid by more than `SAME_LEVELS`; its pixels stay as they are.
- A broken profile, and one of another kind of colours than its picture has, are passed over, as viewers do.
"""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
"""By Pillow's mode, what profiles call its kind of colours."""
SAME_LEVELS = 2
"""Out of 255: what rounding and the tables of common sRGB profiles move."""
GRID = np.arange(0, 256, 15, dtype=np.uint8)


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """A picture in mode RGB, its colours in sRGB.

    Args:
        picture: of mode L, RGB or CMYK.
        profile: the ICC profile that its colours are in; None or empty takes them as sRGB.
    """
    conversion = conversion_of(profile, picture.mode) if profile else None
    converted = picture.convert("RGB") if conversion is None else conversion.apply(picture)
    converted.info.pop("icc_profile", None)  # Pillow would write it beside the converted pixels
    return converted


@functools.lru_cache(maxsize=16)
def conversion_of(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Make the conversion of pictures of mode L, RGB or CMYK to sRGB; None if pixels stay as they are."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if opened.profile.xcolor_space.strip() != SPACES[mode]:
            return None
        target = ImageCms.createProfile("sRGB")
        found = ImageCms.buildTransform(opened, target, mode, "RGB", ImageCms.Intent.PERCEPTUAL)
    except (OSError, ImageCms.PyCMSError):
        return None
    return None if _changes_nothing(found, mode) else found


def _changes_nothing(conversion: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return True if a conversion of mode L or RGB moves no colour of a grid by more than `SAME_LEVELS`."""
    if mode == "CMYK":
        return False
    colours = np.stack(np.meshgrid(GRID, GRID, GRID, indexing="ij"), axis=-1).reshape(1, -1, 3)
    grid = Image.fromarray(colours if mode == "RGB" else np.arange(256, dtype=np.uint8)[None])
    moved = np.asarray(conversion.apply(grid)).astype(int) - np.asarray(grid.convert("RGB"))
    return bool(np.abs(moved).max() <= SAME_LEVELS)
