"""Shapes of the foreground."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bgbias.types import Masks

PIXELS = 1 << 23
"""Number of pixels that are widened at a time."""


def dilate(mask: Masks, radius: int) -> Masks:
    """Widen masks by `radius` pixels in every direction, diagonals included (a (2r+1) x (2r+1) square).

    Args:
        mask: [N, 1, H, W] bool, or packed.
        radius: pixels, >= 0.

    Returns:
        [N, 1, H, W], packed where the masks were: True where a foreground pixel lies within `radius` rows and columns.
    """
    if radius == 0:
        return mask
    if isinstance(mask, Tensor):
        chunk = max(1, PIXELS // math.prod(mask.shape[2:]))
        return torch.cat([widened(part, radius) for part in mask.split(chunk)])
    return mask.changed(lambda part: widened(part, radius))


def widened(mask: Tensor, radius: int) -> Tensor:
    """`dilate` of [N, 1, H, W] bool, at once."""
    return F.max_pool2d(mask.float(), 2 * radius + 1, stride=1, padding=radius) > 0
