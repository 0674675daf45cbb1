"""Tensors as arrays for machine code."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]


def has_kernel(image: Tensor) -> bool:
    """True if machine code can read [B, C, H, W]: in float32 or float64 on a CPU, pixel by pixel in memory."""
    return (
        image.device.type == "cpu"
        and image.dtype in (torch.float32, torch.float64)
        and image.is_contiguous(memory_format=torch.channels_last)
        and not torch.compiler.is_compiling()
    )


def pixels(image: Tensor) -> Array:
    """The memory of [B, C, H, W], brought to `channels_last`, as [B, H, W, C]."""
    found: Array = image.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1).numpy()
    return found
