"""The picture of saliency maps, drawn from made-up maps."""

import dataclasses

import pytest
import torch

from study.inspect import saliency as drawing
from study.inspect.saliency import Maps, SaliencyExamples, map_picture, saliency_picture
from study.picture_grid import SIDE

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


@pytest.fixture
def drawn(monkeypatch, dataset):
    """What is given to the grid of two checkpoints in two variants: pictures, names, headings, and a title."""
    found = []
    monkeypatch.setattr(drawing, "picture_grid", lambda *given, **options: found.append((*given, options)))
    saliency_picture({"original": examples(2), "shuffled": examples(2)}, ["erm", "gradient_penalty"], dataset)
    return found[0]


def test_rows_are_examples_in_each_variant_and_columns_maps(drawn):
    cells, names, headings, _, options = drawn
    assert [len(row) for row in cells] == [6] * 4
    assert names == ["original", "shuffled"] * 2
    assert headings == [
        "image",
        "object mask",
        "before\nerm\ninput gradient",
        "before\nerm\nintegrated gradients",
        "after\ngradient penalty\ninput gradient",
        "after\ngradient penalty\nintegrated gradients",
    ]
    assert options == {"apart": [2, 4]}


def test_each_panel_tells_what_it_shows(drawn):
    first, last = drawn[0][0], drawn[0][-1]
    assert [cell.caption for cell in first[:3]] == [
        "label wheeled vehicle",
        "25.0 %",
        "predicted wheeled vehicle\n25.0 %",
    ]
    assert last[2].caption == "predicted 3\nnan %"
    assert (first[2].color, last[2].color) == ("black", "firebrick")
    assert "Pixels that" in drawn[3]


def test_a_map_reaches_from_dark_to_bright_by_square_roots_and_the_masks_edge_lies_on_it():
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:, 4:] = True
    saliency = torch.zeros(8, 8)
    saliency[0, 0], saliency[4, 0] = 4, 1
    picture = map_picture(saliency, mask)
    pixel = SIDE // 8
    assert picture.size == (SIDE, SIDE)
    assert [picture.getpixel((1, row * pixel + 1)) for row in (0, 4, 7)] == [(252, 255, 164), (186, 56, 83), (0, 0, 4)]
    cyan = [column for column in range(SIDE) if picture.getpixel((column, 60)) == (0, 255, 255)]
    assert cyan == [4 * pixel]


@pytest.mark.parametrize("inside", [False, True])
def test_a_mask_without_an_edge_has_no_outline(inside):
    picture = map_picture(torch.zeros(8, 8), torch.full((8, 8), inside))
    assert picture.getcolors() == [(SIDE**2, (0, 0, 4))]
