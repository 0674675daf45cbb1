import torch

from bgbias.data.datasets import datasets
from study.inspect import dataset as drawing
from study.inspect.dataset import one_per_class, show_data


def test_every_variant_is_a_row_and_every_class_a_column(monkeypatch):
    dataset = datasets.find("colored-digits")().load(None).dilated(2)
    drawn = []
    monkeypatch.setattr(drawing, "picture_grid", lambda *given, **options: drawn.append((given, options)))
    show_data(dataset, side=28)
    (cells, names, headings), options = drawn[0]
    assert names == ["train", *(f"test\n{name}" for name in dataset.test)]
    assert headings == dataset.classes
    assert options == {"side": 28}
    assert {len(row) for row in cells} == {10}
    assert cells[2][0].picture.getpixel((0, 0)) == (255, 135, 0)  # `shuffled` moved the first 0 to another colour


def test_one_per_class_composes_the_first_of_each():
    variant = datasets.find("colored-digits")().load(None).train
    images = one_per_class(variant, 10)
    first = int((variant.foregrounds.label == 7).nonzero()[0])
    assert torch.equal(images[7], variant.batch(torch.tensor([first])).image[0])
