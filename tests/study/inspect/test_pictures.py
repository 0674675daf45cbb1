import torch

from bgbias.data.datasets import datasets
from study.inspect.dataset import one_per_class, show_data


def test_every_variant_is_a_row_and_every_class_a_column():
    dataset = datasets.find("colored-digits")().load(None).dilated(2)
    figure = show_data(dataset)
    assert len(figure.axes) == 10 * (1 + len(dataset.test))
    labels = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert labels == ["train", *(f"test\n{name}" for name in dataset.test)]


def test_one_per_class_composes_the_first_of_each():
    variant = datasets.find("colored-digits")().load(None).train
    images = one_per_class(variant, 10)
    first = int((variant.foregrounds.label == 7).nonzero()[0])
    assert torch.equal(images[7], variant.batch(torch.tensor([first])).image[0])
