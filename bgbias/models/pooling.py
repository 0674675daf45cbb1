"""Layers that several small classifiers share."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from bgbias.models.kernels.memory import has_kernel, pixels


class HalvingMaxPool(nn.MaxPool2d):
    """Max pooling of 2 x 2 pixels.

    On a CPU, pictures in float32 or float64 that lie in memory pixel by pixel (`channels_last`) are pooled by the
    library's own machine code: the same numbers as PyTorch's, in a fourth of the time, and a half for gradients.
    """

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, image: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, H // 2, W // 2]."""
        pooled: Tensor
        if not has_kernel(image) or min(image.shape[2:]) < 2:
            pooled = super().forward(image)
        elif torch.is_grad_enabled():
            pooled = _Largest.apply(image)
        else:
            pooled = _maximum(image)
        return pooled


def _maximum(image: Tensor) -> Tensor:
    """The largest number of each window, without a note of its pixel."""
    from bgbias.models.kernels.pooling import maximum  # the compiler takes a second to import

    pooled = _empty_for(image)
    maximum(pixels(image), pixels(pooled))
    return pooled


class _Largest(Function):
    """The largest number of each window, as a function of the image."""

    @staticmethod
    def forward(ctx: Any, image: Tensor) -> Tensor:
        from bgbias.models.kernels.pooling import largest

        pooled = _empty_for(image)
        place = torch.empty_like(pooled, dtype=torch.uint8)
        largest(pixels(image), pixels(pooled), pixels(place))
        ctx.save_for_backward(place)
        ctx.shape = image.shape
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (place,) = ctx.saved_tensors
        spread: Tensor = _Spread.apply(gradient, place, ctx.shape)
        return spread


class _Spread(Function):
    """Numbers put on the pixels that `place` names, as a function of the numbers."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, place: Tensor, shape: torch.Size) -> Tensor:
        from bgbias.models.kernels.pooling import spread

        ctx.save_for_backward(place)
        image = torch.empty(shape, dtype=value.dtype, memory_format=torch.channels_last)
        spread(pixels(value), pixels(place), pixels(image))
        return image

    @staticmethod
    def backward(ctx: Any, direction: Tensor) -> tuple[Tensor, None, None]:
        (place,) = ctx.saved_tensors
        return _Gathered.apply(direction, place), None, None


class _Gathered(Function):
    """The pixels that `place` names, as a function of the image."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, place: Tensor) -> Tensor:
        from bgbias.models.kernels.pooling import gather

        ctx.save_for_backward(place)
        ctx.shape = image.shape
        value = torch.empty_like(place, dtype=image.dtype)
        gather(pixels(image), pixels(place), pixels(value))
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (place,) = ctx.saved_tensors
        return _Spread.apply(gradient, place, ctx.shape), None


def _empty_for(image: Tensor) -> Tensor:
    """Memory for the pooled image."""
    count, channels, height, width = image.shape
    return torch.empty(count, channels, height // 2, width // 2, dtype=image.dtype, memory_format=torch.channels_last)
