"""Shapes of the foreground."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bgbias.data.pictures import PackedMasks
from bgbias.types import Rows

PIXELS = 1 << 23
"""How many pixels are widened at a time."""


def dilate(mask: Rows, radius: int) -> Rows:
    """Widen masks by `radius` pixels in every direction, diagonals included (a (2r+1) x (2r+1) square).

    Args:
        mask: [N, 1, H, W] bool, or packed.
        radius: pixels, >= 0.

    Returns:
        [N, 1, H, W], packed where the masks were: True where a foreground pixel lies within `radius` rows and columns.
    """
    if radius == 0:
        return mask
    chunk = max(1, PIXELS // math.prod(mask.shape[2:]))
    parts = [widened(mask[index], radius) for index in torch.arange(len(mask)).split(chunk)]
    if isinstance(mask, PackedMasks):
        return PackedMasks.joined([PackedMasks.pack(part) for part in parts])
    return torch.cat(parts)


def widened(mask: Tensor, radius: int) -> Tensor:
    """`dilate` of [N, 1, H, W] bool, at once."""
    return F.max_pool2d(mask.float(), 2 * radius + 1, stride=1, padding=radius) > 0
