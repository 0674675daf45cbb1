"""The gradient of a convolution with respect to pictures of up to three channels.

PyTorch's kernels make vectors of channels, so that three channels leave most of a vector empty. Here vectors are made
of neighbouring pixels, and the three channels are computed together.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bgbias.machine_code import compiled

Floats = npt.NDArray[np.floating[Any]]
CHANNELS = 3
"""Channels that are computed together; a picture with fewer has further ones of 0 meanwhile."""
TAPS = 3
"""Neighbouring weights of a row that are applied together; rows are filled up with 0 to a multiple of it."""
BELOW = 2
"""Rows of 0 below a plane, which the weights of its last row read."""


@compiled(fastmath={"contract"})
def gradient_of_pictures(gradient: Floats, weight: Floats, image: Floats) -> None:
    """Compute the gradient of a convolution of stride 1 with respect to its image.

    Args:
        gradient: [B, h, w, O], that with respect to the output.
        weight: [O, C, k, l], C <= 3.
        image: [B, C, H, W], overwritten; the convolution pads its height by (h + k - 1 - H) / 2 on each side, and its
            width likewise.
    """
    outputs, _, tall, wide = weight.shape
    rows, columns = gradient.shape[1] + tall - 1, gradient.shape[2] + wide - 1
    top, left = (rows - image.shape[2]) // 2, (columns - image.shape[3]) // 2
    taps = mirrored(weight)
    plane = np.zeros((outputs, rows + tall - 1 + BELOW, columns), gradient.dtype)
    total = np.empty((CHANNELS, rows * columns), gradient.dtype)
    for b in range(len(image)):
        copy_planes(gradient[b], plane, tall - 1, wide - 1)
        total[:] = 0
        for o in range(outputs):
            pixels = plane[o].reshape(-1)
            for k in range(tall):
                for t in range(0, taps.shape[3], TAPS):
                    add_taps(pixels[k * columns + t :], taps[o, k, :, t : t + TAPS], total)
        for c in range(image.shape[1]):
            for y in range(image.shape[2]):
                image[b, c, y] = total[c, (y + top) * columns + left :][: image.shape[3]]


@compiled(fastmath=False)
def mirrored(weight: Floats) -> Floats:
    """Weights [O, C, k, l] in reverse order of rows and columns: [O, k, CHANNELS, n], n a multiple of `TAPS`."""
    outputs, channels, tall, wide = weight.shape
    found = np.zeros((outputs, tall, CHANNELS, (wide + TAPS - 1) // TAPS * TAPS), weight.dtype)
    for o in range(outputs):
        for c in range(channels):
            for k in range(tall):
                for t in range(wide):
                    found[o, k, c, t] = weight[o, c, tall - 1 - k, wide - 1 - t]
    return found


@compiled(fastmath=False)
def copy_planes(picture: Floats, plane: Floats, top: int, left: int) -> None:
    """Write a picture [h, w, O] into planes [O, top + h or more, left + w or more], from row `top`, column `left`."""
    for y in range(picture.shape[0]):
        for o in range(picture.shape[2]):
            line = plane[o, y + top, left:]
            for x in range(picture.shape[1]):
                line[x] = picture[y, x, o]


@compiled(fastmath={"contract"})
def add_taps(pixels: Floats, weight: Floats, total: Floats) -> None:
    """Add to each number of `total` the weighted sum of the pixel at its place and the next two, for each channel.

    Args:
        pixels: [n + 2] or more.
        weight: [CHANNELS, TAPS].
        total: [CHANNELS, n].
    """
    first, second, third = total[0], total[1], total[2]
    a0, a1, a2 = weight[0, 0], weight[0, 1], weight[0, 2]
    b0, b1, b2 = weight[1, 0], weight[1, 1], weight[1, 2]
    c0, c1, c2 = weight[2, 0], weight[2, 1], weight[2, 2]
    for p in range(len(first)):
        first[p] += a0 * pixels[p] + a1 * pixels[p + 1] + a2 * pixels[p + 2]
        second[p] += b0 * pixels[p] + b1 * pixels[p + 1] + b2 * pixels[p + 2]
        third[p] += c0 * pixels[p] + c1 * pixels[p + 1] + c2 * pixels[p + 2]
