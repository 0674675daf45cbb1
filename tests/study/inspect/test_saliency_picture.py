"""The picture of saliency maps, drawn from made-up maps."""

import dataclasses

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from bgbias.data.dataset import Dataset
from study.inspect.saliency import Maps, SaliencyExamples, saliency_figure

KINDS = ("input_gradient", "integrated_gradients")
CLASSES = ("dog", "wheeled vehicle", "03_wheeled_vehicle")


def examples(checkpoints):
    """Two examples; the second map of each kind is zero everywhere, and the second answer has no name."""
    saliency = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
    saliency[1] = 0
    mask = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    mask[0, :, 2:4] = True
    share = torch.tensor([0.25, torch.nan])
    maps = Maps(torch.tensor([1, 3]), dict.fromkeys(KINDS, saliency), dict.fromkeys(KINDS, share))
    return SaliencyExamples(torch.rand(2, 3, 8, 8), mask, torch.tensor([1, 2]), [maps] * checkpoints)


@pytest.fixture
def dataset(load):
    return dataclasses.replace(load("colored-digits"), classes=CLASSES)


def panels(figure):
    """The panels that show something, row by row."""
    return [axes for axes in figure.axes if axes.axison]


def test_rows_are_examples_in_each_variant_and_columns_maps(dataset: Dataset):
    figure = saliency_figure({"original": examples(2), "shuffled": examples(2)}, ["erm", "gradient_penalty"], dataset)
    shown = panels(figure)
    assert len(shown) == 4 * 6
    assert [axes.get_ylabel() for axes in shown if axes.get_ylabel()] == ["original", "shuffled"] * 2
    assert [axes.get_title() for axes in shown[:6]] == [
        "image",
        "object mask",
        "before\nerm\ninput gradient",
        "before\nerm\nintegrated gradients",
        "after\ngradient penalty\ninput gradient",
        "after\ngradient penalty\nintegrated gradients",
    ]


def test_each_panel_tells_what_it_shows(dataset: Dataset):
    shown = panels(saliency_figure({"original": examples(1)}, ["erm"], dataset))
    right, wrong = shown[2].xaxis.label, shown[6].xaxis.label
    assert (shown[0].get_xlabel(), shown[1].get_xlabel()) == ("label wheeled\nvehicle", "25.0 %")
    assert right.get_text() == "predicted wheeled\nvehicle\n25.0 %"
    assert wrong.get_text() == "predicted 3\nnan %"
    assert (right.get_color(), wrong.get_color()) == ("black", "firebrick")
    assert "Pixels that" in shown[0].figure.get_suptitle()


@pytest.mark.parametrize("methods", [["erm"], ["dynamic_replacement", "gradient_penalty_of_a_long_name"]])
def test_nothing_that_is_written_is_cut(dataset: Dataset, methods):
    figure = saliency_figure(
        {"original": examples(len(methods)), "mixed_rand": examples(len(methods))}, methods, dataset
    )
    FigureCanvasAgg(figure).draw()
    written = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert len(written) > 20
    for text in written:
        box = text.get_window_extent()
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1, text
