"""Object masks from boxes."""

import cv2
import numpy as np

from bgbias.prepare.build.variants import Box, Image, Mask

ITERATIONS = 5
GRABCUT_SEED = 0
"""Of the clustering that GrabCut begins with: OpenCV keeps its random state between calls of a thread."""


def grabcut(image: Image, box: Box) -> Mask:
    """The object inside a box, by 5 iterations of GrabCut that start from the box.

    Source: C. Rother, V. Kolmogorov, A. Blake, "GrabCut", 2004, as OpenCV implements it.

    Args:
        image: [H, W, 3] uint8.
        box: in the image; must leave some of it uncovered.

    Returns:
        [H, W] bool, False outside the box; all False where no object was found.
    """
    cv2.setRNGSeed(GRABCUT_SEED)
    cut = np.zeros(image.shape[:2], dtype=np.uint8)
    rectangle = (box.left, box.top, box.right - box.left, box.bottom - box.top)
    models = np.zeros((2, 1, 65))
    cv2.grabCut(np.ascontiguousarray(image), cut, rectangle, models[0], models[1], ITERATIONS, cv2.GC_INIT_WITH_RECT)
    mask: Mask = (cut == cv2.GC_FGD) | (cut == cv2.GC_PR_FGD)
    return mask
