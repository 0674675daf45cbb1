import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from bgbias.data.masks import PIXELS, dilate


def pixel(side, row, column):
    mask = torch.zeros(1, 1, side, side, dtype=torch.bool)
    mask[0, 0, row, column] = True
    return mask


def test_dilate_widens_a_single_pixel_to_a_square():
    assert dilate(pixel(5, 2, 2), 1)[0, 0].int().tolist() == [
        [0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 1, 1, 1, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0],
    ]


def test_dilate_stops_at_the_border():
    assert dilate(pixel(3, 0, 0), 1)[0, 0].int().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert dilate(pixel(5, 0, 4), 2)[0, 0].int().tolist() == [[0, 0, 1, 1, 1]] * 3 + [[0] * 5] * 2


def test_dilate_by_nothing_changes_nothing():
    mask = pixel(3, 1, 2)
    assert torch.equal(dilate(mask, 0), mask)


@pytest.mark.parametrize("radius", [1, 2, 4])
def test_dilate_agrees_with_scipy(radius):
    masks = np.random.default_rng(radius).random((20, 1, 9, 11)) < 0.04
    square = np.ones((2 * radius + 1, 2 * radius + 1), dtype=bool)
    expected = np.stack([binary_dilation(mask[0], square)[None] for mask in masks])
    found = dilate(torch.from_numpy(masks), radius)
    assert found.dtype == torch.bool
    assert np.array_equal(found.numpy(), expected)


def test_dilate_treats_masks_on_both_sides_of_a_chunk_alike():
    side, chunk = 512, PIXELS // 512**2
    masks = torch.rand(chunk + 3, 1, side, side, generator=torch.Generator().manual_seed(0)) < 0.001
    whole = dilate(masks, 1)
    assert len(whole) == chunk + 3
    assert torch.equal(whole[chunk - 3 :], dilate(masks[chunk - 3 :], 1))
    assert torch.equal(whole[:3], dilate(masks[:3], 1))
