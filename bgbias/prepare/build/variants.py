"""Variants of one picture: pure maths on its pixels.

Images are [H, W, 3] uint8, masks [H, W] bool (True = object), boxes whole pixels of the image.
Source: K. Xiao et al., "Noise or Signal", 2020 (arXiv 2006.09994), section 2 and appendix A.
"""

import numpy as np

from bgbias.data.photographs.tiling import Box, Image, Mask, bounding_box, only_bg_t

__all__ = ["Box", "Image", "Mask", "bounding_box", "mixed", "no_fg", "only_bg_b", "only_bg_t", "only_fg"]


def only_fg(image: Image, mask: Mask) -> Image:
    """The object on black."""
    return image * mask[..., None]


def no_fg(image: Image, mask: Mask) -> Image:
    """The picture with the object's shape blacked, so that `only_fg + no_fg` is the picture."""
    return image * ~mask[..., None]


def only_bg_b(image: Image, box: Box) -> Image:
    """The picture with the object's box blacked."""
    result = image.copy()
    result[box.top : box.bottom, box.left : box.right] = 0
    return result


def mixed(image: Image, mask: Mask, background: Image) -> Image:
    """The object of a picture on another background of the same height and width."""
    return np.where(mask[..., None], image, background)
