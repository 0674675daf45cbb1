"""Grey objects on one colour each, composed in one pass, as machine code that holds no lock."""

from typing import Any

import numpy as np
import numpy.typing as npt

from bgbias.machine_code import compiled

Bits = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating[Any]]


@compiled(fastmath=False)
def paint(mask: Bits, foreground: Floats, colour: Floats, image: Floats) -> None:
    """Show the foreground where the mask is True, in all three channels, and the colour elsewhere.

    Args:
        mask, foreground: [B, P] pixels; colour: [B, 3].
        image: [B, 3 P], pixel by pixel, overwritten.
    """
    for b in range(len(mask)):
        bits, grey, painted = mask[b], foreground[b], image[b]
        red, green, blue = colour[b, 0], colour[b, 1], colour[b, 2]
        for p in range(len(bits)):
            shown, value = bits[p], grey[p]
            painted[3 * p] = value if shown else red
            painted[3 * p + 1] = value if shown else green
            painted[3 * p + 2] = value if shown else blue
