"""Picture files as a viewer shows them."""

import numpy as np
import pytest
from PIL import Image

from bgbias.data.photographs.picture import TURNS, PictureHeader, read_picture, stored, to_rgb

GREY = np.array([[0, 40, 80], [120, 200, 255]], dtype=np.uint8)
EXIF = 0x0112


def shown(picture):
    return np.asarray(to_rgb(picture))


def grey(values):
    """[H, W] as RGB."""
    return np.repeat(np.asarray(values, dtype=np.uint8)[..., None], 3, axis=-1)


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LA", "PA", "RGBa", "La"]
)
def test_every_mode_of_eight_bits_is_shown(mode):
    half = Image.fromarray(np.array([[0, 255]], dtype=np.uint8))
    picture = (
        half.convert("RGBA").convert(mode)
        if mode == "RGBa"
        else half.convert("LA").convert(mode)
        if mode == "La"
        else half.convert(mode)
    )
    assert picture.mode == mode
    assert np.abs(shown(picture).astype(int) - grey([[0, 255]])).max() <= 2


@pytest.mark.parametrize(("mode", "dtype"), [("I;16", "<u2"), ("I;16B", ">u2"), ("I", "<i4")])
def test_sixteen_bit_grey_is_scaled(mode, dtype):
    deep = (GREY.astype(int) * 257).astype(dtype)
    picture = Image.frombytes(mode, (3, 2), deep.tobytes())
    assert np.array_equal(shown(picture), grey(GREY))


def test_a_sixteen_bit_png_is_read_as_it_looks(tmp_path):
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert np.array_equal(np.asarray(read_picture(tmp_path / "deep.png")), grey(GREY))


def test_fractions_are_shown_and_what_has_no_known_range_is_refused_by_its_mode():
    assert shown(Image.fromarray(np.array([[0, 0.5, 1]], dtype=np.float32)))[0, :, 0].tolist() == [0, 128, 255]
    for values, told in (
        (np.array([[0, 300]], dtype=np.float32), "mode F must have values from 0 to 1, but has 0 to 300"),
        (np.array([[0, np.nan]], dtype=np.float32), "mode F must have values from 0 to 1, but has nan to nan"),
        (np.array([[-1, 3]], dtype=np.int32), "mode I must have values from 0 to 65,535, but has -1 to 3"),
        (np.array([[0, 70_000]], dtype=np.int32), "but has 0 to 70000: save it as 8-bit RGB"),
    ):
        with pytest.raises(ValueError, match=told):
            to_rgb(Image.fromarray(values))
    with pytest.raises(ValueError, match="pictures of mode LAB cannot be shown"):
        to_rgb(Image.new("LAB", (2, 2)))


def test_transparent_pixels_show_white(tmp_path):
    alpha = np.array([[0, 255, 128]], dtype=np.uint8)
    black = np.zeros_like(alpha)
    expected = grey([[255, 0, 127]])
    for planes in ([black, alpha], [black, black, black, alpha]):
        assert np.array_equal(shown(Image.fromarray(np.stack(planes, axis=-1))), expected)
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8))
    palette.putpalette([0, 0, 0, 9, 9, 9])
    palette.save(tmp_path / "palette.png", transparency=0)
    Image.fromarray(np.array([[0, 9]], dtype=np.uint8)).save(tmp_path / "grey.png", transparency=0)
    for name in ("palette", "grey"):
        assert np.asarray(read_picture(tmp_path / f"{name}.png"))[0].tolist() == [[255] * 3, [9] * 3], name


UPRIGHT = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].T,
    8: np.rot90(UPRIGHT, -1),
}
"""By EXIF orientation, the pixels that are shown as `UPRIGHT`."""


@pytest.mark.parametrize("orientation", STORED)
def test_a_picture_is_turned_as_its_camera_noted(tmp_path, orientation):
    exif = Image.Exif()
    exif[EXIF] = orientation
    for file, options in ((tmp_path / "a.png", {}), (tmp_path / "a.tiff", {"compression": "tiff_lzw"})):
        Image.fromarray(np.ascontiguousarray(STORED[orientation])).save(file, exif=exif, **options)
        assert np.array_equal(np.asarray(read_picture(file)), grey(UPRIGHT))
    with Image.open(tmp_path / "a.png") as opened:
        found = stored(opened)
    assert found.shown == (3, 2)
    assert np.array_equal(found.mask_as_shown(UPRIGHT > 2), UPRIGHT > 2)
    if orientation > 4:
        assert np.array_equal(found.mask_as_shown(STORED[orientation] > 2), UPRIGHT > 2)
    assert found.mask_as_shown(np.ones((5, 5))) is None


@pytest.mark.parametrize("orientation", STORED)
def test_a_box_of_the_stored_picture_is_turned_with_it(orientation):
    """The box around each stored pixel is the box around the place where the pixel is shown."""
    pixels = STORED[orientation]
    found = PictureHeader((pixels.shape[1], pixels.shape[0]), TURNS.get(orientation))
    for value in UPRIGHT.flat:
        (row,), (column,) = np.nonzero(pixels == value)
        (y,), (x,) = np.nonzero(value == UPRIGHT)
        assert found.box_as_shown((column, row, column + 1, row + 1)) == (x, y, x + 1, y + 1)


def test_a_mask_that_fits_both_ways_counts_as_drawn_on_the_picture_as_shown():
    square = np.array([[1, 0], [0, 0]], dtype=bool)
    for turn in (None, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270):
        assert np.array_equal(PictureHeader((2, 2), turn).mask_as_shown(square), square)


def test_an_unknown_orientation_is_passed_over(tmp_path):
    exif = Image.Exif()
    exif[EXIF] = 77
    Image.fromarray(UPRIGHT).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(np.asarray(read_picture(tmp_path / "a.png")), grey(UPRIGHT))
