"""A picture file as a viewer shows it: upright, in 8 bits of red, green and blue, its colours in sRGB.

- A camera's note of how it was held (EXIF orientation) is followed.
- 16-bit grey is scaled to 8 bits; so is 32-bit grey of values in 0..65535 (integers) or 0..1 (fractions).
- Transparent pixels show white.
- Colours with a conversion to RGB (palettes, CMYK, YCbCr, HSV) are converted; every other mode is refused by name.
- Colours of an embedded profile are converted to sRGB (`bgbias.data.photographs.colour_profile` has the rule).

A mask may be drawn on the picture as it is shown or as it is stored. One that fits both ways, as on a square picture,
counts as drawn on the picture as it is shown.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from bgbias.data.photographs.colour_profile import SPACES, to_srgb

UNREADABLE = (OSError, EOFError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
"""Errors of Pillow and numpy for files that are cut short, no pictures, or of a mode that cannot be shown."""

WHITE = (255, 255, 255, 255)
LARGEST_16_BIT = 65_535
CONVERTED = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"})
"""Modes that Pillow converts to RGB as a viewer does."""
GREY = frozenset({"1", "L", "LA", "La"})
"""Modes of 8 bits or less without colours."""
ORIENTATION = 0x0112
"""EXIF's tag."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation, what shows the stored pixels upright."""

MIRRORED_X = (TURNS[2], TURNS[3], TURNS[7], TURNS[8])
MIRRORED_Y = (TURNS[3], TURNS[4], TURNS[6], TURNS[7])
"""Turns that mirror left and right, and top and bottom, before they swap rows and columns, if they do."""

Array = np.ndarray[Any, np.dtype[Any]]
Edges = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


@dataclass(frozen=True)
class PictureHeader:
    """Size and orientation of a picture as it is stored.

    size: width and height in pixels
    turn: the turn that shows it upright; None if it is stored upright
    """

    size: tuple[int, int]
    turn: Image.Transpose | None

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height as it is shown."""
        return (self.size[1], self.size[0]) if self.is_on_side else self.size

    @property
    def is_on_side(self) -> bool:
        """True if showing the picture upright swaps width and height."""
        return self.turn is not None and self.turn not in (TURNS[2], TURNS[3], TURNS[4])

    def mask_as_shown(self, mask: Array) -> Array | None:
        """A mask [H, W] turned as the picture is shown; None for one that fits neither way."""
        size = mask.shape[::-1]
        if size == self.shown:
            return mask
        if size != self.size or self.turn is None:
            return None
        turned = Image.fromarray(mask.astype(np.uint8)).transpose(self.turn)
        return np.asarray(turned).astype(mask.dtype)

    def box_as_shown(self, box: Edges) -> Edges:
        """A box in pixels of the stored picture, in pixels of the picture as it is shown."""
        if self.turn is None:
            return box
        (left, right), (top, bottom) = (box[0], box[2]), (box[1], box[3])
        width, height = self.size
        if self.turn in MIRRORED_X:
            left, right = width - right, width - left
        if self.turn in MIRRORED_Y:
            top, bottom = height - bottom, height - top
        return (left, top, right, bottom) if not self.is_on_side else (top, left, bottom, right)


def stored(opened: Image.Image) -> PictureHeader:
    """Read the stored size and orientation of an opened picture; a damaged EXIF note is ignored, as viewers do.

    TIFF counts as stored upright, since Pillow turns it itself.
    """
    if opened.format == "TIFF":
        return PictureHeader(opened.size, None)
    try:
        orientation = opened.getexif().get(ORIENTATION, 1)
    except UNREADABLE:
        orientation = 1
    return PictureHeader(opened.size, TURNS.get(orientation))


def reason(error: BaseException) -> str:
    """Describe why a file cannot be read, without its name and the object that read it."""
    return str(error).partition(" <")[0].partition(" '")[0]


def upright(opened: Image.Image) -> Image.Image:
    """An opened picture turned as its EXIF orientation says; its mode stays."""
    turn = stored(opened).turn
    return opened if turn is None else opened.transpose(turn)


def read_picture(file: Path | IO[bytes]) -> Image.Image:
    """A picture file as a viewer shows it, in mode RGB.

    Raises:
        One of `UNREADABLE`: the file is damaged, no picture, or of a mode that cannot be shown.
    """
    with Image.open(file) as opened:
        return to_rgb(upright(opened))


def to_rgb(picture: Image.Image) -> Image.Image:
    """A picture of any mode in RGB, its colours in sRGB.

    Raises:
        ValueError: its mode, or its range of values, has no known way to be shown.
    """
    mode, profile = picture.mode, picture.info.get("icc_profile")
    if mode.startswith("I") or mode == "F":
        return to_srgb(Image.fromarray(_grey(np.asarray(picture), mode)), profile)
    if picture.has_transparency_data:
        alone = picture.convert("LA") if mode == "La" else picture
        layers = alone.convert("RGBA")
        colours = to_srgb(layers.convert("L" if mode in GREY else "RGB"), profile)
        colours.putalpha(layers.getchannel("A"))
        return Image.alpha_composite(Image.new("RGBA", picture.size, WHITE), colours).convert("RGB")
    if mode not in CONVERTED:
        raise ValueError(f"pictures of mode {mode} cannot be shown: save it as 8-bit RGB")
    return to_srgb(picture if mode in SPACES else picture.convert("L" if mode in GREY else "RGB"), profile)


def _grey(values: Array, mode: str) -> Array:
    """Grey values of more than 8 bits as 8 bits: [H, W] to the same, uint8."""
    largest = 1 if mode == "F" else LARGEST_16_BIT
    if not (values.min() >= 0 and values.max() <= largest):
        raise ValueError(
            f"a picture of mode {mode} must have values from 0 to {largest:,}, but has {values.min():g} to "
            f"{values.max():g}: save it as 8-bit RGB"
        )
    return (values.astype(np.float64) * (255 / largest)).round().astype(np.uint8)
