"""The picture of a table."""

import math

import numpy as np

from bgbias.table import Table
from study.picture_grid import MARGIN, VIRIDIS, colored
from study.tracking.table_picture import FIELD, MISSING_COLOR, table_colors, table_picture

TABLE = Table(((0.0, 0.5, 1.0), (math.nan, 0.25, 1.0)), ("one", "three"), ("a", "b", "c"))


def test_each_value_has_its_place_between_the_smallest_and_the_largest():
    low, quarter, half, _, high = colored([0, 0.25, 0.5, 0.75, 1], VIRIDIS)
    expected = np.array([[low, half, high], [MISSING_COLOR, quarter, high]])
    np.testing.assert_array_equal(table_colors(TABLE), expected)


def test_equal_values_and_none_at_all_have_a_colour():
    np.testing.assert_array_equal(table_colors(Table(((2.0, 2.0),), ("a",), ("b", "c"))), [[(68, 1, 84), (68, 1, 84)]])
    np.testing.assert_array_equal(table_colors(Table(((math.nan,),), ("a",), ("b",))), [[MISSING_COLOR]])


def test_the_picture_shows_every_field():
    picture = table_picture(TABLE)
    left, top = picture.width - MARGIN - 3 * FIELD, picture.height - MARGIN - 2 * FIELD
    corner = [picture.getpixel((left + FIELD * column + 2, top + 2)) for column in range(3)]
    assert corner == [(68, 1, 84), (33, 145, 140), (253, 231, 37)]
    assert picture.getpixel((left + 2, top + FIELD + 2)) == MISSING_COLOR


def test_a_table_of_nothing_is_a_picture():
    assert table_picture(Table((), (), ())).height > 0
