"""Finished training pictures in one pass over the pixels that the crop keeps, as machine code that holds no lock.

Each row of a crop is composed and scaled across once, into memory that stays in the processor's cache; rows of the
picture are mixed from two of these, and coloured before the next is begun. The mean grey that contrast needs is known
once all rows are there, so contrast and what follows it are a second pass over the finished picture.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bgbias.machine_code import compiled

Bytes = npt.NDArray[np.uint8]
Bits = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint32]
Integers = npt.NDArray[np.int64]
Number = np.floating[Any]

RED, GREEN, BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)
"""Weights in a grey value, as torchvision has them (ITU-R 601-2)."""
BRIGHTNESS, CONTRAST, SATURATION = 0, 1, 2
ZERO, HALF, ONE, FULL = np.float32(0), np.float32(0.5), np.float32(1), np.float32(255)
SHOWN = np.float32(128 / 255)
"""From this share of object on, a scaled pixel of a mask is object."""
BYTE = np.uint32(255)


@compiled(fastmath=True)
def sources(extent: int, side: int, mirrored: bool) -> tuple[Words, Words, Floats]:
    """Compute the bilinear weights of a scaled row, without aligned corners.

    For each of `side` pixels, the two source pixels beside it, and its distance from the first: [side] each.
    """
    low, high, share = np.empty(side, np.uint32), np.empty(side, np.uint32), np.empty(side, np.float32)
    scale = np.float32(extent) / np.float32(side)
    for i in range(side):
        target = side - 1 - i if mirrored else i
        place = max((np.float32(target) + HALF) * scale - HALF, ZERO)
        first = min(int(place), extent - 1)
        low[i], high[i], share[i] = first, min(first + 1, extent - 1), min(place - np.float32(first), ONE)
    return low, high, share


@compiled(fastmath=True)
def compose_row(front: Words, bits: Words, back: Words, whole: bool, out: Floats) -> None:
    """One row of a picture, composed and separated.

    Args:
        front, back: [w], pixels of four bytes; bits: [w], 1 = front; whole: show the front everywhere.
        out: [4, w], red, green, blue in 0..255 and the mask in 0..1, overwritten.
    """
    shown = np.uint32(1) if whole else np.uint32(0)
    for x in range(len(bits)):
        pixel = front[x] if (bits[x] | shown) else back[x]
        out[0, x] = np.float32(pixel & BYTE)
        out[1, x] = np.float32((pixel >> np.uint32(8)) & BYTE)
        out[2, x] = np.float32((pixel >> np.uint32(16)) & BYTE)
        out[3, x] = np.float32(bits[x])


@compiled(fastmath=True)
def read_bits(line: Bytes, left: int, out: Words) -> None:
    """Bits `left`, `left + 1`, ... of a packed row, one word each, as many as `out` has."""
    for x in range(len(out)):
        column = np.uint32(left + x)
        shift = np.uint32(7) - (column & np.uint32(7))
        out[x] = (np.uint32(line[column >> np.uint32(3)]) >> shift) & np.uint32(1)


@compiled(fastmath=True)
def scale_row(values: Floats, low: Words, high: Words, share: Floats, out: Floats) -> None:
    """Each channel [C, w] interpolated between two source pixels: [C, S], overwritten."""
    for channel in range(len(values)):
        source, target = values[channel], out[channel]
        for x in range(len(target)):
            value = source[low[x]]
            target[x] = value + (source[high[x]] - value) * share[x]


@compiled(fastmath=True)
def mix_rows(one: Floats, other: Floats, share: Number, image: Floats, mask: Bits, y: int) -> None:
    """Row y of a picture and its mask from two scaled rows [4, S], colours in 0..255, the mask in 0..1."""
    for channel in range(3):
        first, second, target = one[channel], other[channel], image[channel, y]
        for x in range(len(target)):
            target[x] = (first[x] + (second[x] - first[x]) * share) / FULL
    first, second = one[3], other[3]
    for x in range(len(first)):
        mask[y, x] = first[x] + (second[x] - first[x]) * share >= SHOWN


@compiled(fastmath=True)
def change_row(image: Floats, y: int, kind: int, f: Number, grey: Number) -> None:
    """Brightness, contrast or saturation of one row of a picture [3, H, W]: clamp(f x + (1 - f) other, 0, 1).

    Args:
        f: the factor, >= 0; grey: (1 - f) times the picture's mean grey, for contrast.
    """
    red, green, blue = image[0, y], image[1, y], image[2, y]
    rest = ONE - f
    for x in range(image.shape[2]):
        other = grey
        if kind == SATURATION:
            other = rest * (RED * red[x] + GREEN * green[x] + BLUE * blue[x])
        red[x] = min(max(f * red[x] + other, ZERO), ONE)
        green[x] = min(max(f * green[x] + other, ZERO), ONE)
        blue[x] = min(max(f * blue[x] + other, ZERO), ONE)


@compiled(fastmath=True)
def grey_of_row(image: Floats, y: int) -> Number:
    """The sum of the grey values of one row of a picture [3, H, W]."""
    red, green, blue = image[0, y], image[1, y], image[2, y]
    total = ZERO
    for x in range(image.shape[2]):
        total += RED * red[x] + GREEN * green[x] + BLUE * blue[x]
    return total


@compiled(fastmath=True)
def finish(
    front: Words,
    packed: Bytes,
    back: Words,
    whole: bool,
    crop: Integers,
    mirrored: bool,
    factor: Floats,
    order: Integers,
    image: Floats,
    mask: Bits,
) -> None:
    """Compose, crop, scale, mirror and colour one picture.

    Args:
        front, back: [H, W], pixels of four bytes; whole: show the front everywhere.
        packed: [H, ceil(W / 8)], the object's mask, the leftmost pixel in the highest bit.
        crop: [4], top, left, height, width; factor: [3], of brightness, contrast and saturation.
        order: [3], which of these comes first, second and third.
        image: [3, S, S], overwritten, in [0, 1]; mask: [S, S], overwritten.
    """
    top, left, height, width = crop[0], crop[1], crop[2], crop[3]
    side = image.shape[1]
    low, high, across = sources(width, side, mirrored)
    above, below, down = sources(height, side, False)
    source, bits = np.empty((4, width), np.float32), np.empty(width, np.uint32)
    scaled, held = np.empty((2, 4, side), np.float32), np.full(2, -1, np.int64)
    at_contrast = 0
    while order[at_contrast] != CONTRAST:
        at_contrast += 1
    total = ZERO
    for y in range(side):
        for row in (above[y], below[y]):
            slot = row & np.uint32(1)
            if held[slot] == row:
                continue
            held[slot] = row
            kept = slice(left, left + width)
            read_bits(packed[top + row], left, bits)
            compose_row(front[top + row, kept], bits, back[top + row, kept], whole, source)
            scale_row(source, low, high, across, scaled[slot])
        one, other = scaled[above[y] & np.uint32(1)], scaled[below[y] & np.uint32(1)]
        mix_rows(one, other, down[y], image, mask, y)
        for step in range(at_contrast):
            change_row(image, y, order[step], factor[order[step]], ZERO)
        total += grey_of_row(image, y)
    mean = total / np.float32(side * side)
    for y in range(side):
        for step in range(at_contrast, 3):
            kind = order[step]
            grey = (ONE - factor[CONTRAST]) * mean if kind == CONTRAST else ZERO
            change_row(image, y, kind, factor[kind], grey)


@compiled(fastmath=True)
def finish_share(
    first: int,
    step: int,
    front: Words,
    front_row: Integers,
    packed: Bytes,
    mask_row: Integers,
    back: Words,
    back_row: Integers,
    whole: Bits,
    crop: Integers,
    mirrored: Bits,
    factor: Floats,
    order: Integers,
    image: Floats,
    mask: Bits,
) -> None:
    """`finish` the pictures `first`, `first + step`, ... of B.

    Args:
        front, back: [R, H, W]; packed: [R, H, ceil(W / 8)]; and which row of each every picture has, [B].
        whole, mirrored: [B]; crop: [B, 4]; factor, order: [B, 3].
        image: [B, 3, S, S], mask: [B, 1, S, S], where these pictures are overwritten.
    """
    for i in range(first, len(image), step):
        finish(
            front[front_row[i]],
            packed[mask_row[i]],
            back[back_row[i]],
            whole[i],
            crop[i],
            mirrored[i],
            factor[i],
            order[i],
            image[i],
            mask[i, 0],
        )
