import numpy as np
import pytest

from bgbias.prepare.build.rules import COVERED, FILLED, INSIDE, Rejection, broken_by_box, broken_by_mask
from bgbias.prepare.build.variants import Box


@pytest.mark.parametrize(
    ("box", "inside", "expected"),
    [
        (Box(0, 0, 10, 9), 1.0, None),
        (Box(0, 0, 10, 10), 1.0, Rejection(COVERED, 1.0)),
        (Box(0, 0, 5, 5), 0.5, None),
        (Box(0, 0, 5, 5), 0.499, Rejection(INSIDE, 0.499)),
        (Box(0, 0, 0, 5), 0.0, Rejection(INSIDE, 0.0)),
    ],
)
def test_a_box_covers_at_most_nine_tenths_and_half_of_it_lies_inside(box, inside, expected):
    assert broken_by_box(box, inside, size=10) == expected


@pytest.mark.parametrize(("pixels", "expected"), [(2, None), (1, Rejection(FILLED, 0.05)), (0, Rejection(FILLED, 0.0))])
def test_a_mask_fills_a_tenth_of_its_box(pixels, expected):
    mask = np.zeros((10, 10), dtype=bool)
    mask[3, :pixels] = True
    assert broken_by_mask(mask, Box(0, 0, 4, 5)) == expected
