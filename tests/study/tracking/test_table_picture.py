"""The picture of a table."""

import math

import numpy as np

from bgbias.table import Table
from study.tracking.table_picture import FIELD, LINE, MISSING_COLOR, SCALE, table_colors, table_picture

TABLE = Table(((0.0, 0.5, 1.0), (math.nan, 0.25, 1.0)), ("one", "three"), ("a", "b", "c"))


def test_each_value_has_its_place_between_the_smallest_and_the_largest():
    low, quarter, half, _, high = SCALE
    expected = np.array([[low, half, high], [MISSING_COLOR, quarter, high]])
    np.testing.assert_array_equal(table_colors(TABLE), expected)


def test_equal_values_and_none_at_all_have_a_colour():
    np.testing.assert_array_equal(table_colors(Table(((2.0, 2.0),), ("a",), ("b", "c"))), [[SCALE[0], SCALE[0]]])
    np.testing.assert_array_equal(table_colors(Table(((math.nan,),), ("a",), ("b",))), [[MISSING_COLOR]])


def test_the_picture_shows_every_field():
    picture = table_picture(TABLE)
    left = picture.width - 3 * FIELD - 1
    corner = [picture.getpixel((left + FIELD * column + 2, LINE + 2)) for column in range(3)]
    assert corner == [SCALE[0], SCALE[2], SCALE[4]]
    assert picture.height == LINE + 2 * FIELD + 1
