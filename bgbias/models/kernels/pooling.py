"""Max pooling of 2 x 2 pixels, its derivative and its second derivative, in one pass over pictures [B, H, W, C].

Of H and W only full windows count. The pixels of a window are numbered 0 1 in its upper row and 2 3 in its lower row.
The loop over channels in `spread` writes two pixels: so the compiler makes vectors of it even with few channels.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bgbias.machine_code import compiled

Floats = npt.NDArray[np.floating[Any]]
Bytes = npt.NDArray[np.uint8]
ZERO, ONE, TWO, THREE = np.uint8(0), np.uint8(1), np.uint8(2), np.uint8(3)


@compiled(fastmath=False)
def maximum(image: Floats, pooled: Floats) -> None:
    """Find the largest number of each window; a NaN is larger than all numbers.

    Args:
        image: [B, H, W, C].
        pooled: [B, H // 2, W // 2, C], overwritten.
    """
    for b in range(len(pooled)):
        for i in range(pooled.shape[1]):
            for j in range(pooled.shape[2]):
                first, second = image[b, 2 * i, 2 * j], image[b, 2 * i, 2 * j + 1]
                third, fourth = image[b, 2 * i + 1, 2 * j], image[b, 2 * i + 1, 2 * j + 1]
                value = pooled[b, i, j]
                for c in range(len(value)):
                    best = first[c]
                    best = second[c] if second[c] > best or second[c] != second[c] else best
                    best = third[c] if third[c] > best or third[c] != third[c] else best
                    value[c] = fourth[c] if fourth[c] > best or fourth[c] != fourth[c] else best


@compiled(fastmath=False)
def largest(image: Floats, pooled: Floats, place: Bytes) -> None:
    """Find the largest number of each window and its pixel, the first of equal ones; a NaN is larger than all.

    Args:
        image: [B, H, W, C].
        pooled: [B, H // 2, W // 2, C], overwritten by it.
        place: of the same shape, overwritten by the number of its pixel.
    """
    for b in range(len(pooled)):
        for i in range(pooled.shape[1]):
            for j in range(pooled.shape[2]):
                first, second = image[b, 2 * i, 2 * j], image[b, 2 * i, 2 * j + 1]
                third, fourth = image[b, 2 * i + 1, 2 * j], image[b, 2 * i + 1, 2 * j + 1]
                value, number = pooled[b, i, j], place[b, i, j]
                for c in range(len(value)):
                    best, at = first[c], ZERO
                    larger = second[c] > best or second[c] != second[c]
                    best, at = (second[c], ONE) if larger else (best, at)
                    larger = third[c] > best or third[c] != third[c]
                    best, at = (third[c], TWO) if larger else (best, at)
                    larger = fourth[c] > best or fourth[c] != fourth[c]
                    best, at = (fourth[c], THREE) if larger else (best, at)
                    value[c], number[c] = best, at


@compiled(fastmath=False)
def spread(value: Floats, place: Bytes, image: Floats) -> None:
    """Put a number for each window on the pixel at `place`, and 0 on all others.

    Args:
        value: [B, H // 2, W // 2, C]; place: of the same shape.
        image: [B, H, W, C], overwritten.
    """
    height, width = image.shape[1], image.shape[2]
    zero = value.dtype.type(0)
    for b in range(len(image)):
        for y in range(height // 2 * 2):
            left, right = np.uint8(2 * (y % 2)), np.uint8(2 * (y % 2) + 1)
            for j in range(width // 2):
                one, other = image[b, y, 2 * j], image[b, y, 2 * j + 1]
                source, number = value[b, y // 2, j], place[b, y // 2, j]
                for c in range(len(one)):
                    one[c] = source[c] if number[c] == left else zero
                    other[c] = source[c] if number[c] == right else zero
            image[b, y, width // 2 * 2 :] = zero
        image[b, height // 2 * 2 :] = zero


@compiled(fastmath=False)
def gather(image: Floats, place: Bytes, value: Floats) -> None:
    """Read the pixel at `place` of each window.

    Args:
        image: [B, H, W, C].
        place: [B, H // 2, W // 2, C].
        value: of the same shape, overwritten.
    """
    for b in range(len(value)):
        for i in range(value.shape[1]):
            for j in range(value.shape[2]):
                for c in range(value.shape[3]):
                    number = place[b, i, j, c]
                    value[b, i, j, c] = image[b, 2 * i + (number >> ONE), 2 * j + (number & ONE), c]
