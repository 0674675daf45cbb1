"""From a source picture to the centre crop with its mask and box, or the rule that it breaks."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from bgbias.data.photographs.bank import UNREADABLE, centre
from bgbias.prepare.build.grabcut import grabcut
from bgbias.prepare.build.rules import ONE_BOX, Rejection, broken_by_box, broken_by_mask
from bgbias.prepare.build.sources import Edges, Source
from bgbias.prepare.build.variants import Box, Image, Mask, bounding_box
from bgbias.errors import DataError

HALF = 128


@dataclass(frozen=True)
class Cut:
    """A centre crop: image [H, W, 3] uint8, mask [H, W] bool, and the box of the object in it."""

    image: Image
    mask: Mask
    box: Box


def cut(source: Source, size: int) -> Cut | Rejection:
    """Crop a picture, find its object and judge it.

    The box of a given mask is the mask's bounding box.

    Raises:
        DataError: the picture or its mask cannot be read, or the mask or box does not fit the picture. The message
            says of the picture what is wrong, not which one it is.
    """
    if source.mask is None and len(source.boxes) != 1:
        return Rejection(ONE_BOX, len(source.boxes))
    picture = _read_picture(source.picture)
    image = _crop(picture, size)
    if source.mask is not None:
        return _cut_by_mask(image, read_mask(source.mask, picture.size))
    box, inside = box_in_crop(_fitting(source.boxes[0], picture.size), picture.size, size)
    broken = broken_by_box(box, inside, size)
    return broken or _judged(Cut(image, grabcut(image, box), box))


def crop(source: Source, size: int) -> Image:
    """The centre crop of a source's picture: [size, size, 3] uint8.

    Raises:
        DataError: the picture cannot be read.
    """
    return _crop(_read_picture(source.picture), size)


def _cut_by_mask(image: Image, mask: Mask) -> Cut | Rejection:
    whole = bounding_box(mask)
    if whole is None:
        raise DataError("its mask is empty")
    size = len(image)
    cropped = crop_mask(mask, size)
    mapped, inside = box_in_crop(whole, (mask.shape[1], mask.shape[0]), size)
    box = bounding_box(cropped) or mapped
    return broken_by_box(box, inside, size) or _judged(Cut(image, cropped, box))


def _judged(found: Cut) -> Cut | Rejection:
    return broken_by_mask(found.mask, found.box) or found


def box_in_crop(box: Edges, picture: tuple[int, int], size: int) -> tuple[Box, float]:
    """Where a box of a picture lies after `centre` has scaled and cropped the picture.

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


def _fitting(box: Edges, picture: tuple[int, int]) -> Edges:
    """A box cut at the picture's edges; formats that count pixels from 1 reach one beyond them."""
    left, top, right, bottom = box
    width, height = picture
    inside = -1 <= left < right <= width + 1 and -1 <= top < bottom <= height + 1
    kept = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
    if not inside or kept[0] >= kept[2] or kept[1] >= kept[3]:
        edges = ", ".join(f"{edge:g}" for edge in box)
        raise DataError(f"its box ({edges}) does not lie in the picture of {width} x {height} pixels")
    return kept


def _read_picture(path: Path) -> Pillow.Image:
    """The pixels as they are stored; a camera's note of how it was held is not followed, as masks and boxes may not."""
    with _reading("it"), Pillow.open(path) as opened:
        return opened.convert("RGB")


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError:
        raise DataError(f"{what} is no picture") from None
    except (*UNREADABLE, EOFError) as error:
        raise DataError(f"{what} cannot be read ({getattr(error, 'strerror', None) or error})") from None


def _crop(picture: Pillow.Image, size: int) -> Image:
    return np.asarray(centre(picture, size, Pillow.Resampling.BICUBIC))


def crop_mask(mask: Mask, size: int) -> Mask:
    """A mask cropped as its picture is; a pixel is object where half of what falls on it is."""
    grey = Pillow.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(centre(grey, size, Pillow.Resampling.BILINEAR)) >= HALF


def read_mask(path: Path, picture: tuple[int, int]) -> Mask:
    """A mask file, .npy [H, W] or a picture in which any value but 0 (transparency aside) is object.

    Raises:
        DataError: it cannot be read or is not as wide and high as its picture.
    """
    with _reading("its mask"):
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else _mask_picture(path)
    if values.shape != (picture[1], picture[0]):
        shape = " x ".join(str(side) for side in reversed(values.shape))
        raise DataError(f"its mask of {shape} pixels does not fit the picture of {picture[0]} x {picture[1]}")
    mask: Mask = values != 0
    return mask


def _mask_picture(path: Path) -> Any:
    with Pillow.open(path) as opened:
        values = np.asarray(opened)
        colors = values[..., :-1] if opened.mode.endswith(("A", "a")) else values
    return colors.any(axis=-1) if colors.ndim == 3 else colors
