"""Shapes of the foreground."""

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 8192


def dilate(mask: Tensor, radius: int) -> Tensor:
    """Widen masks by `radius` pixels in every direction, diagonals included (a (2r+1) x (2r+1) square).

    Args:
        mask: [N, 1, H, W] bool.
        radius: pixels, >= 0.

    Returns:
        [N, 1, H, W] bool: True where a foreground pixel lies within `radius` rows and columns.
    """
    if radius == 0:
        return mask
    side = 2 * radius + 1
    chunks = (F.max_pool2d(part.float(), side, stride=1, padding=radius) > 0 for part in mask.split(CHUNK))
    return torch.cat(list(chunks))
