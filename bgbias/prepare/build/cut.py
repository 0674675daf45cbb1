"""From a source picture to the centre crop with its mask and box, or the rule that it breaks."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from bgbias.data.photographs.bank import centre
from bgbias.data.photographs.picture import UNREADABLE, Edges, PictureHeader, stored, to_rgb, upright
from bgbias.errors import DataError
from bgbias.prepare.build.finding import Finder, by_grabcut
from bgbias.prepare.build.masks import read_mask
from bgbias.prepare.build.rules import (
    FILLED,
    ONE_BOX,
    Rejection,
    broken_by_box,
    broken_by_cover,
    broken_by_mask,
)
from bgbias.prepare.build.sources import Source
from bgbias.prepare.build.variants import Box, Image, Mask, bounding_box

HALF = 128


@dataclass(frozen=True)
class Cut:
    """A centre crop: image [H, W, 3] uint8, mask [H, W] bool, and the box of the object in it.

    odd: what is odd about a given mask
    """

    image: Image
    mask: Mask
    box: Box
    odd: str | None = field(default=None, compare=False)


def cut(source: Source, size: int, void: int | None = None, find: Finder | None = None) -> Cut | Rejection:
    """Crop a picture as it is shown, find its object and apply the rules.

    The box of a given mask is the mask's bounding box.

    Args:
        void: the value of a mask that is neither object nor background, and counts as background.
        find: finds the object of a source without a mask; GrabCut if left out.

    Raises:
        DataError: the picture or its mask cannot be read, or the mask or box does not fit the picture. The message
            says of the picture what is wrong, not which one it is.
    """
    if source.mask is None and source.boxes is not None and len(source.boxes) != 1:
        return Rejection(ONE_BOX, len(source.boxes))
    picture, kept = _read_picture(source.picture)
    image, find = _crop(picture, size), find or by_grabcut
    if source.mask is not None:
        mask, odd = _read_mask(source.mask, kept, void)
        return _cut_by_mask(image, mask, odd)
    if source.boxes is None:
        found = find(image, None)
        return _cut_by_mask(image, found, None) if found.any() else Rejection(FILLED, 0.0)
    box, inside = box_in_crop(_fitting(source.boxes[0], kept), picture.size, size)
    broken = broken_by_box(box, inside, size)
    return broken or _checked(Cut(image, find(image, box), box))


def cut_whole(source: Source, size: int, void: int | None = None, find: Finder | None = None) -> Cut | Rejection:
    """As `cut`, but the whole picture, its shorter side scaled to `size` pixels."""
    if source.mask is None and source.boxes is not None and len(source.boxes) != 1:
        return Rejection(ONE_BOX, len(source.boxes))
    picture, kept = _read_picture(source.picture)
    find, odd = find or by_grabcut, None
    image = np.asarray(scaled(picture, size, Pillow.Resampling.BICUBIC))
    if source.mask is not None:
        given, odd = _read_mask(source.mask, kept, void)
        mask = scaled_mask(given, size)
    elif source.boxes is None:
        mask = find(image, None)
    else:
        edges, factor = _fitting(source.boxes[0], kept), np.array(image.shape[1::-1] * 2) / np.array(picture.size * 2)
        left, top, right, bottom = (edge * by for edge, by in zip(edges, factor, strict=True))
        box = Box(math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
        if broken := broken_by_cover(box.area / image[..., 0].size):
            return broken
        mask = find(image, box)
    found = bounding_box(mask)
    if found is None:
        return Rejection(FILLED, 0.0, odd)
    broken = broken_by_cover(float(mask.mean())) or broken_by_mask(mask, found)
    return replace(broken, odd=odd) if broken else Cut(image, mask, found, odd)


def scaled(picture: Pillow.Image, size: int, resampling: Pillow.Resampling) -> Pillow.Image:
    """The picture with a shorter side of `size` pixels; one that has it stays as it is."""
    width, height = picture.size
    scale = size / min(width, height)
    if scale == 1:
        return picture
    return picture.resize((max(size, round(width * scale)), max(size, round(height * scale))), resampling)


def scaled_mask(mask: Mask, size: int) -> Mask:
    """A mask scaled as its picture is; a pixel is object where half of what falls on it is."""
    grey = Pillow.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(scaled(grey, size, Pillow.Resampling.BILINEAR)) >= HALF


def check(source: Source, void: int | None) -> None:
    """Read a picture and its mask or box as `cut` does, without looking for the object.

    Raises:
        DataError: as `cut` does.
    """
    _, kept = _read_picture(source.picture)
    if source.mask is not None:
        _read_mask(source.mask, kept, void)
    elif source.boxes is not None and len(source.boxes) == 1:
        _fitting(source.boxes[0], kept)


def crop(source: Source, size: int) -> Image:
    """The centre crop of a source's picture: [size, size, 3] uint8.

    Raises:
        DataError: the picture cannot be read.
    """
    return _crop(_read_picture(source.picture)[0], size)


def whole(source: Source, size: int) -> Image:
    """A source's whole picture, its shorter side scaled to `size` pixels: [H, W, 3] uint8.

    Raises:
        DataError: the picture cannot be read.
    """
    return np.asarray(scaled(_read_picture(source.picture)[0], size, Pillow.Resampling.BICUBIC))


def _read_mask(path: Path, picture: PictureHeader, void: int | None) -> tuple[Mask, str | None]:
    with _reading("its mask"):
        mask, odd = read_mask(path, picture, void)
    if not mask.any():
        raise DataError("its mask is empty")
    return mask, odd


def _cut_by_mask(image: Image, mask: Mask, odd: str | None) -> Cut | Rejection:
    whole = bounding_box(mask) or Box(0, 0, 0, 0)
    size = len(image)
    cropped = crop_mask(mask, size)
    mapped, inside = box_in_crop(whole, (mask.shape[1], mask.shape[0]), size)
    box = bounding_box(cropped) or mapped
    found = broken_by_box(box, inside, size) or _checked(Cut(image, cropped, box))
    return replace(found, odd=odd)


def _checked(found: Cut) -> Cut | Rejection:
    return broken_by_mask(found.mask, found.box) or found


def box_in_crop(box: Edges, picture: tuple[int, int], size: int) -> tuple[Box, float]:
    """Compute the place of a picture's box after `centre` has scaled and cropped the picture.

    Args:
        box: left, top, right, bottom in pixels of the picture, right and bottom beyond left and top.
        picture: width and height.

    Returns:
        The whole pixels of the crop that the box touches, and the share of the box's area inside the crop, in [0, 1].
    """
    short = min(picture)
    near, far, inside = [], [], 1.0
    for axis, side in enumerate(picture):
        scaled = max(size, round(side * (size / short)))
        offset = (scaled - size) // 2
        begin, end = (box[at] * scaled / side - offset for at in (axis, axis + 2))
        kept = min(max(begin, 0.0), size), min(max(end, 0.0), size)
        inside *= (kept[1] - kept[0]) / (end - begin)
        near.append(math.floor(kept[0]))
        far.append(math.ceil(kept[1]))
    return Box(near[0], near[1], far[0], far[1]), inside


def _fitting(box: Edges, picture: PictureHeader) -> Edges:
    """A box cut at the edges of the picture as it is shown; formats that count pixels from 1 reach one beyond them.

    A box that fits the picture as it is shown is taken so; one that fits only the stored picture is turned with it.
    """
    kept = _inside(box, picture.shown)
    if kept is None and picture.is_on_side and (unturned := _inside(box, picture.size)) is not None:
        return picture.box_as_shown(unturned)
    if kept is None:
        edges, (width, height) = ", ".join(f"{edge:g}" for edge in box), picture.shown
        turned = " as its EXIF orientation shows it" if picture.turn is not None else ""
        raise DataError(f"its box ({edges}) does not lie in the picture of {width} x {height} pixels{turned}")
    return kept


def _inside(box: Edges, size: tuple[int, int]) -> Edges | None:
    """The part of a box inside a picture of this width and height; None if it lies elsewhere or is empty."""
    left, top, right, bottom = box
    width, height = size
    kept = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
    fits = -1 <= left < right <= width + 1 and -1 <= top < bottom <= height + 1
    return kept if fits and kept[0] < kept[2] and kept[1] < kept[3] else None


def _read_picture(path: Path) -> tuple[Pillow.Image, PictureHeader]:
    """The picture as it is shown, and how it is stored."""
    with _reading("it"), Pillow.open(path) as opened:
        return to_rgb(upright(opened)), stored(opened)


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError:
        raise DataError(f"{what} is no picture") from None
    except UNREADABLE as error:
        raise DataError(f"{what} cannot be read ({getattr(error, 'strerror', None) or error})") from None


def _crop(picture: Pillow.Image, size: int) -> Image:
    return np.asarray(centre(picture, size, Pillow.Resampling.BICUBIC))


def crop_mask(mask: Mask, size: int) -> Mask:
    """A mask cropped as its picture is; a pixel is object where half of what falls on it is."""
    grey = Pillow.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(centre(grey, size, Pillow.Resampling.BILINEAR)) >= HALF
