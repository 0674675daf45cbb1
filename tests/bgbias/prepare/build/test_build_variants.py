import numpy as np
import pytest

from bgbias.prepare.build.variants import Box, bounding_box, mixed, no_fg, only_bg_b, only_bg_t, only_fg


@pytest.fixture
def numbered():
    """4 rows of 6 pixels, each of which says where it is: 10 * row + column, in all channels."""
    return np.repeat((10 * np.arange(4)[:, None] + np.arange(6))[..., None], 3, axis=2).astype(np.uint8)


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(1, 256, (5, 7, 3), dtype=np.uint8)


@pytest.fixture
def mask():
    return np.random.default_rng(1).random((5, 7)) < 0.5


@pytest.mark.parametrize(
    ("box", "filled"),
    [
        pytest.param(Box(3, 1, 5, 3), [[10, 11], [20, 21]], id="left: columns 0 to 2 continue as 0, 1"),
        pytest.param(Box(2, 1, 6, 3), [[10, 11, 10, 11], [20, 21, 20, 21]], id="left, twice"),
        pytest.param(Box(1, 1, 3, 3), [[14, 15], [24, 25]], id="right: columns 3 to 5 come before themselves"),
        pytest.param(Box(1, 2, 5, 3), [[1, 2, 3, 4]], id="above: rows 0 and 1 continue as 0"),
        pytest.param(Box(1, 1, 5, 2), [[31, 32, 33, 34]], id="below: rows 2 and 3 come before themselves"),
        pytest.param(Box(2, 1, 4, 3), [[10, 11], [20, 21]], id="left before right on a tie"),
        pytest.param(Box(0, 1, 6, 3), [[0, 1, 2, 3, 4, 5]] * 2, id="above before below on a tie, one row twice"),
    ],
)
def test_only_bg_t_fills_the_box_with_the_largest_strip(numbered, box, filled):
    result = only_bg_t(numbered, box)
    inside = np.s_[box.top : box.bottom, box.left : box.right]
    assert result[inside][..., 0].tolist() == filled
    assert (result[..., 0] == result[..., 2]).all()
    outside = np.ones((4, 6), dtype=bool)
    outside[inside] = False
    assert np.array_equal(result[outside], numbered[outside])


@pytest.mark.parametrize("seed", range(20))
def test_only_bg_t_shows_nothing_of_the_box(picture, seed):
    rng = np.random.default_rng(seed)
    left, top = rng.integers(0, 6), rng.integers(1, 4)
    box = Box(left, top, rng.integers(left + 1, 8), rng.integers(top + 1, 6))
    picture[box.top : box.bottom, box.left : box.right] = 0  # nothing else is 0
    assert (only_bg_t(picture, box) > 0).all()


def test_only_bg_b_blacks_the_box(numbered):
    result = only_bg_b(numbered + 1, Box(1, 2, 3, 4))
    assert result[..., 0].tolist() == [
        [1, 2, 3, 4, 5, 6],
        [11, 12, 13, 14, 15, 16],
        [21, 0, 0, 24, 25, 26],
        [31, 0, 0, 34, 35, 36],
    ]


def test_only_fg_and_no_fg_add_up_to_the_picture(picture, mask):
    object_alone, rest = only_fg(picture, mask), no_fg(picture, mask)
    assert np.array_equal(object_alone + rest, picture)
    assert np.array_equal(object_alone.any(axis=-1), mask)
    assert np.array_equal(rest.any(axis=-1), ~mask)
    assert object_alone.dtype == rest.dtype == np.uint8


def test_mixed_is_the_picture_in_the_mask_and_the_background_outside(picture, mask):
    background = picture[::-1].copy()
    result = mixed(picture, mask, background)
    assert np.array_equal(result[mask], picture[mask])
    assert np.array_equal(result[~mask], background[~mask])
    assert result.dtype == np.uint8


def test_nothing_handed_over_is_changed(picture, mask):
    before, box = picture.copy(), Box(1, 1, 4, 3)
    for made in (only_fg(picture, mask), no_fg(picture, mask), only_bg_b(picture, box), only_bg_t(picture, box)):
        made += 1
    mixed(picture, mask, picture)[:] = 0
    assert np.array_equal(picture, before)


def test_bounding_box():
    mask = np.zeros((4, 6), dtype=bool)
    assert bounding_box(mask) is None
    mask[1, 2] = mask[3, 4] = True
    assert bounding_box(mask) == Box(2, 1, 5, 4)
    assert bounding_box(mask).area == 9
