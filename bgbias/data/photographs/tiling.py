"""The box of an object, and the picture of its background alone: pure maths on pixels.

Images are [H, W, 3] uint8, masks [H, W] bool (True = object), boxes whole pixels of the image.
Source: K. Xiao et al., "Noise or Signal", 2020 (arXiv 2006.09994), section 2 and appendix A.
"""

from typing import Any, NamedTuple

import numpy as np

Image = np.ndarray[Any, np.dtype[np.uint8]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


class Box(NamedTuple):
    """The pixels with left <= column < right and top <= row < bottom."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """In pixels; 0 for a box that holds none."""
        return max(0, self.right - self.left) * max(0, self.bottom - self.top)


def bounding_box(mask: Mask) -> Box | None:
    """The smallest box that holds every object pixel of a mask, or None for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def only_bg_t(image: Image, box: Box) -> Image:
    """The picture with the object's box filled by tiling the largest strip of background.

    The strips are the parts of the picture left of the box and right of it (as high as the picture), above it and
    below it (as wide as the picture). The one with the most pixels is taken, the first of these on a tie. It is
    repeated from where it lies over the whole picture, left and right strips sideways, the others up and down, and
    the box shows what falls into it. So a left strip of w columns fills column x with column `x mod w` of the same row.

    Args:
        box: must leave a row or a column of the picture uncovered.
    """
    height, width = image.shape[:2]
    strips = {
        "left": height * box.left,
        "right": height * (width - box.right),
        "above": width * box.top,
        "below": width * (height - box.bottom),
    }
    rows, columns = np.arange(height), np.arange(width)
    match max(strips, key=strips.__getitem__):
        case "left":
            columns = columns % box.left
        case "right":
            columns = box.right + (columns - box.right) % (width - box.right)
        case "above":
            rows = rows % box.top
        case _:
            rows = box.bottom + (rows - box.bottom) % (height - box.bottom)
    result = image.copy()
    result[box.top : box.bottom, box.left : box.right] = image[
        rows[box.top : box.bottom, None], columns[box.left : box.right]
    ]
    return result


def background_of(image: Image, mask: Mask) -> Image:
    """Remove the object from a picture.

    `only_bg_t` by the mask's bounding box; if the box leaves neither a row nor a column, each pixel of the object gets
    the colour of its nearest background pixel.

    Raises:
        ValueError: the mask is empty or covers the picture.
    """
    box = bounding_box(mask)
    if box is None or mask.all():
        raise ValueError(f"its mask {'is empty' if box is None else 'covers the picture'} after centre cropping")
    if box.right - box.left < mask.shape[1] or box.bottom - box.top < mask.shape[0]:
        return only_bg_t(image, box)
    from scipy import ndimage

    rows, columns = ndimage.distance_transform_edt(mask, return_distances=False, return_indices=True)
    found: Image = image[rows, columns]
    return found
