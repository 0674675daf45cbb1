"""Pasting foregrounds on backgrounds."""

import torch
from torch import Tensor


def compose(mask: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
    """The foreground where the mask is True, the background elsewhere.

    Args:
        mask: [B, 1, H, W] bool, True = foreground.
        foreground: [B, C or 1, H, W], finite.
        background: [B, C, H, W] or [B, C, 1, 1], finite, of the foreground's type.

    Returns:
        [B, C, H, W].
    """
    if foreground.is_floating_point():
        return torch.lerp(background, foreground, mask.to(foreground.dtype))
    return torch.where(mask, foreground, background)


def pasted(mask: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
    """`compose` of pictures of any two types, as floats; bytes are composed as bytes.

    Returns:
        [B, C, H, W] float, full brightness = 1.
    """
    if foreground.dtype == background.dtype:
        return unit(compose(mask, foreground, background))
    return compose(mask, unit(foreground), unit(background))


def unit(image: Tensor) -> Tensor:
    """uint8 images in 0..255 as float32 in [0, 1]; float images as they are."""
    return image.float().div_(255) if image.dtype == torch.uint8 else image
