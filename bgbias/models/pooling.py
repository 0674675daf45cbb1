"""Layers that several small classifiers share."""

import torch
from torch import Tensor, nn


class HalvingMaxPool(nn.MaxPool2d):
    """Max pooling of 2 x 2 pixels.

    Without gradients on a CPU it takes the larger of neighbouring rows, then of neighbouring columns: the same numbers
    in half the time, since it need not note which pixel was the largest.
    """

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, image: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, H // 2, W // 2]."""
        if torch.is_grad_enabled() or image.device.type != "cpu":
            pooled: Tensor = super().forward(image)
            return pooled
        height, width = (side // 2 * 2 for side in image.shape[2:])
        rows = torch.maximum(image[:, :, 0:height:2], image[:, :, 1:height:2])
        return torch.maximum(rows[..., 0:width:2], rows[..., 1:width:2])
