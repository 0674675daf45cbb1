"""The precision of matrix products and convolutions."""

from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


def arithmetic(precision: Precision, device: torch.device) -> torch.autocast:
    """The precision, as a context to compute in on a device."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
