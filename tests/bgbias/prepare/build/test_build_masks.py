"""Mask files of every kind."""

import numpy as np
import pytest
from PIL import Image

from bgbias.data.photographs.picture import PictureHeader
from bgbias.errors import DataError
from bgbias.prepare.build.masks import INVERTED, SOFT, oddities, read_mask

PICTURE = PictureHeader((5, 6), None)


def read(path, void=None, picture=PICTURE):
    return read_mask(path, picture, void)[0]


@pytest.fixture
def mask():
    return np.random.default_rng(0).random((6, 5)) < 0.5


def test_any_value_but_zero_is_object_in_every_kind_of_mask(tmp_path, mask):
    grey = mask.astype(np.uint8)
    index = Image.fromarray(grey)
    index.putpalette([0, 0, 0, 0, 0, 0])
    full = 255 * np.ones_like(grey)
    pictures = {
        "grey": Image.fromarray(grey),
        "bilevel": Image.fromarray(mask),
        "deep": Image.fromarray(grey.astype(np.uint16)),
        "index": index,
        "color": Image.fromarray(np.stack([0 * grey, grey, 0 * grey], axis=-1)),
        "opaque": Image.fromarray(np.stack([grey, full], axis=-1)),
        "see-through": Image.fromarray(np.stack([grey, grey, grey, 0 * full], axis=-1)),
        "alpha": Image.fromarray(np.stack([full, full, full, full * grey], axis=-1)),
        "grey-alpha": Image.fromarray(np.stack([0 * full, full * grey], axis=-1)),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / f"{name}.PNG", format="PNG")
        assert np.array_equal(read(tmp_path / f"{name}.PNG"), mask), name
    for kind in (bool, np.int64, np.float32):
        np.save(tmp_path / "array.npy", mask.astype(kind))
        assert np.array_equal(read(tmp_path / "array.npy"), mask)


def test_alpha_is_object_where_it_is_half_opaque(tmp_path):
    alpha = np.array([[0, 127, 128, 255]], dtype=np.uint8)
    Image.fromarray(np.stack([alpha * 0, alpha], axis=-1)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", picture=PictureHeader((4, 1), None)).tolist() == [[False, False, True, True]]


def test_a_void_value_is_no_object(tmp_path, mask):
    values = np.where(mask, 15, 0).astype(np.uint8)
    values[0] = 255
    Image.fromarray(values).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([values, 0 * values, values], axis=-1)).save(tmp_path / "color.png")
    mask[0] = False
    assert np.array_equal(read(tmp_path / "grey.png", void=255), mask)
    assert read(tmp_path / "grey.png")[0].all()
    assert read(tmp_path / "color.png", void=255)[0].all()  # purple is no grey of 255


def test_a_mask_turned_by_its_own_orientation_is_read_as_it_is_shown(tmp_path, mask):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(mask)).astype(np.uint8)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read(tmp_path / "a.png"), mask)


def test_a_mask_of_no_fitting_shape_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((5, 6)))
    with pytest.raises(DataError, match="its mask of 6 x 5 pixels does not fit the picture of 5 x 6"):
        read(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.ones((1, 6, 5, 3)))
    with pytest.raises(DataError, match="its mask of 6 x 1 pixels does not fit the picture of 5 x 6"):
        read(tmp_path / "a.npy")


def test_inverted_and_soft_masks_are_odd(tmp_path):
    shape, picture = (32, 32), PictureHeader((32, 32), None)
    disc = np.hypot(*(np.mgrid[:32, :32] - 16)) < 8
    soft = np.clip(255 * (1 - np.hypot(*(np.mgrid[:32, :32] - 16)) / 15), 0, 255).astype(np.uint8)
    assert disc.shape == soft.shape == shape
    for drawn, odd in ((disc, None), (~disc, INVERTED), (soft, SOFT)):
        np.save(tmp_path / "a.npy", drawn)
        assert read_mask(tmp_path / "a.npy", picture, None)[1] == odd


def test_what_is_odd_about_most_masks_is_counted():
    assert oddities([INVERTED] * 45) == ["45 of 45 masks cover more than half of the picture's border: inverted?"]
    assert oddities([SOFT, SOFT, None])[0].startswith("2 of 3 masks hold more than 16 shades: soft?")
    assert oddities([SOFT, None]) == oddities([]) == []
