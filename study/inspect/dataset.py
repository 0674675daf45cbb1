"""Pictures of the data itself."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bgbias.data.dataset import Dataset, Variant


def show_data(dataset: Dataset) -> Figure:
    """A picture of every variant: a row each for training and all test variants, a column per class."""
    rows = {"train": dataset.train, **{f"test\n{name}": variant for name, variant in dataset.test.items()}}
    columns = len(dataset.classes)
    figure = Figure(figsize=(1.1 * columns + 1.4, 1.15 * len(rows) + 0.5), layout="constrained")
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for (name, variant), axes_row in zip(rows.items(), panels, strict=True):
        images = one_per_class(variant, columns)
        for label, (image, axes) in enumerate(zip(images, axes_row, strict=True)):
            picture = image.clamp(0, 1).permute(1, 2, 0).expand(-1, -1, 3)
            axes.imshow(picture.numpy(), interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            if variant is dataset.train:
                axes.set_title(dataset.classes[label], fontsize=9)
        axes_row[0].set_ylabel(name, fontsize=8)
    return figure


def one_per_class(variant: Variant, classes: int) -> Tensor:
    """The first example of each class, composed: [K, C, H, W]."""
    label = variant.foregrounds.label
    first = torch.stack([(label == wanted).nonzero()[0, 0] for wanted in range(classes)])
    return variant.batch(first).image
