"""Pictures of the data itself."""

import torch
from PIL import Image
from torch import Tensor

from bgbias.data.dataset import Dataset, Variant
from study.picture_grid import SIDE, Cell, picture_grid, picture_of


def show_data(dataset: Dataset, side: int = SIDE) -> Image.Image:
    """A picture of every variant: a row each for training and all test variants, a column per class.

    Args:
        side: of one picture, in pixels.
    """
    rows = {"train": dataset.train, **{f"test\n{name}": variant for name, variant in dataset.test.items()}}
    cells = [
        [Cell(picture_of(image.numpy())) for image in one_per_class(variant, len(dataset.classes)).cpu()]
        for variant in rows.values()
    ]
    return picture_grid(cells, list(rows), dataset.classes, side=side)


def one_per_class(variant: Variant, classes: int) -> Tensor:
    """The first example of each class, composed: [K, C, H, W]."""
    label = variant.foregrounds.label
    first = torch.stack([(label == wanted).nonzero()[0, 0] for wanted in range(classes)])
    return variant.batch(first).image
