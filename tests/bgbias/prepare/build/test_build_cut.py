import numpy as np
import pytest
from made_sources import disc, edges
from PIL import Image

from bgbias.data.photographs.bank import centre
from bgbias.errors import DataError
from bgbias.prepare.build.cut import Cut, _fitting, _read_picture, box_in_crop, check, crop, crop_mask, cut
from bgbias.prepare.build.grabcut import grabcut
from bgbias.prepare.build.rules import COVERED, FILLED, INSIDE, ONE_BOX, Rejection
from bgbias.prepare.build.sources import Source
from bgbias.prepare.build.variants import Box


@pytest.fixture
def made(tmp_path):
    """A picture with a disc, its mask, and a function that gives its source."""
    picture, mask = disc(np.random.default_rng(3), (60, 60, 150))
    Image.fromarray(picture).save(tmp_path / "a.png")

    def source(mask=None, boxes=()):
        if mask is not None:
            np.save(tmp_path / "a.npy", mask)
        return Source("ant/a", "ant", "a", tmp_path / "a.png", None if mask is None else tmp_path / "a.npy", boxes)

    return picture, mask, source


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((4, 2, 8, 6), (Box(1, 1, 3, 3), 1.0)),  # half as large, and 1 pixel is cut off at the left
        ((0, 0, 12, 8), (Box(0, 0, 4, 4), 2 / 3)),
        ((0, 0, 4, 4), (Box(0, 0, 1, 2), 0.5)),
        ((5, 3, 6, 4), (Box(1, 1, 2, 2), 1.0)),  # from 1.5 to 2 and from 1.5 to 2: the pixel that it touches
        ((0, 0, 2, 8), (Box(0, 0, 0, 4), 0.0)),
    ],
)
def test_a_box_of_a_12_x_8_picture_in_its_4_x_4_crop(box, expected):
    found, inside = box_in_crop(box, (12, 8), 4)
    assert (found, inside) == (expected[0], pytest.approx(expected[1]))


@pytest.mark.parametrize("picture", [(48, 40), (40, 48), (37, 91), (32, 32), (20, 25)])
def test_a_box_goes_where_the_crop_shows_it(picture):
    box = (picture[0] // 2 - 5, picture[1] // 2 - 4, picture[0] // 2 + 6, picture[1] // 2 + 3)
    drawn = np.zeros((picture[1], picture[0]), dtype=np.uint8)
    drawn[box[1] : box[3], box[0] : box[2]] = 255
    shown = np.asarray(centre(Image.fromarray(drawn), 32, Image.Resampling.BILINEAR))
    found, inside = box_in_crop(box, picture, 32)
    assert inside == pytest.approx(1)
    assert np.abs(np.array(found) - edges(shown > 127)).max() <= 1


def test_crop_mask_halves_by_majority():
    mask = np.array([[1, 1, 0, 0], [1, 0, 0, 1], [0, 0, 1, 1], [0, 0, 1, 1]], dtype=bool)
    assert crop_mask(np.kron(mask, np.ones((4, 4))).astype(bool), 4).tolist() == mask.tolist()


def test_cut_by_a_mask(made):
    picture, mask, source = made
    found = cut(source(mask), 40)
    assert isinstance(found, Cut)
    assert np.array_equal(found.image, picture[:, 4:44])
    assert np.array_equal(found.mask, mask[:, 4:44])
    assert found.box == edges(mask[:, 4:44])
    assert np.array_equal(crop(source(), 40), found.image)


def test_cut_by_a_box_finds_the_object(made):
    _, mask, source = made
    found = cut(source(boxes=(edges(mask),)), 40)
    expected = mask[:, 4:44]
    assert found.box == edges(expected)
    assert (found.mask & expected).sum() / (found.mask | expected).sum() > 0.95


def test_grabcut_repeats_itself_and_stays_in_its_box():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    box = Box(4, 6, 20, 25)
    first, second = grabcut(image, box), grabcut(image, box)
    assert np.array_equal(first, second)
    first[box.top : box.bottom, box.left : box.right] = False
    assert not first.any()


def test_grabcut_finds_nothing_where_nothing_is():
    assert not grabcut(np.full((32, 32, 3), 7, dtype=np.uint8), Box(5, 5, 15, 15)).any()


def test_rejections(made):
    _, _, source = made
    everything, corner, line = np.ones((40, 48), bool), np.zeros((40, 48), bool), np.zeros((40, 48), bool)
    corner[:4, :6] = True
    np.fill_diagonal(line[4:], True)
    assert cut(source(everything), 32) == Rejection(COVERED, 1.0)
    assert cut(source(corner), 40) == Rejection(INSIDE, 0.3333)
    assert cut(source(line), 40).rule == FILLED
    assert cut(source(boxes=((1, 1, 9, 9), (5, 5, 20, 20))), 32) == Rejection(ONE_BOX, 2)
    assert cut(source(boxes=((0, 0, 48, 40),)), 32) == Rejection(COVERED, 1.0)


@pytest.mark.parametrize(
    ("mask", "box", "told"),
    [
        (np.zeros((40, 48)), None, "its mask is empty"),
        (np.ones((48, 40)), None, "its mask of 40 x 48 pixels does not fit the picture of 48 x 40"),
        (np.ones(4), None, "its mask of 4 pixels does not fit"),
        (None, (0, 0, 60, 20), r"its box \(0, 0, 60, 20\) does not lie in the picture of 48 x 40"),
        (None, (47.9, -5, 48, 0), "does not lie in the picture"),
    ],
)
def test_what_does_not_fit_the_picture_is_refused(made, mask, box, told):
    source = made[2](mask, (box,) if box else ())
    for read in (lambda: cut(source, 32), lambda: check(source, None)):
        with pytest.raises(DataError, match=told):
            read()


def test_boxes_counted_from_one_may_reach_a_pixel_beyond(made):
    assert cut(made[2](boxes=((-1, 1, 49, 41),)), 40) == Rejection(COVERED, 0.975)


def test_a_box_that_fits_only_the_stored_picture_is_turned_with_it(tmp_path):
    """A phone's picture of 48 x 40, stored 40 x 48 (EXIF 6); its disc is 24 pixels wide, right of the middle."""
    shown, mask = np.full((40, 48, 3), 200, np.uint8), np.zeros((40, 48), bool)
    mask[8:32, 22:46] = True
    shown[mask] = 20
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(shown))).save(tmp_path / "a.png", exif=exif)
    found = {}
    for how, box in (("shown", (22, 8, 46, 32)), ("stored", (8, 2, 32, 26)), ("stored, taller", (8, 2, 32, 45))):
        source = Source("ant/a", "ant", "a", tmp_path / "a.png", None, (box,))
        found[how] = _fitting(box, _read_picture(source.picture)[1])
    assert found == {"shown": (22, 8, 46, 32), "stored": (8, 2, 32, 26), "stored, taller": (3, 8, 46, 32)}


@pytest.mark.parametrize("name", ["picture", "mask"])
def test_what_cannot_be_read_is_refused(made, tmp_path, name):
    _, mask, source = made
    chosen = source(mask)
    damaged = chosen.picture if name == "picture" else chosen.mask
    whole = damaged.read_bytes()
    what = "it" if name == "picture" else "its mask"
    for content in (b"", b"junk", whole[: len(whole) // 2]):
        damaged.write_bytes(content)
        with pytest.raises(DataError, match=f"^{what} (cannot be read|is no picture)"):
            cut(chosen, 32)
    damaged.unlink()
    with pytest.raises(DataError, match="No such file") as caught:
        cut(chosen, 32)
    assert str(tmp_path) not in str(caught.value)


EXIF, ON_SIDE = 0x0112, 6


def test_a_turned_picture_is_cut_as_it_is_shown_with_a_mask_drawn_either_way(made, tmp_path):
    picture, mask, source = made
    exif = Image.Exif()
    exif[EXIF] = ON_SIDE
    Image.fromarray(np.ascontiguousarray(np.rot90(picture))).save(tmp_path / "a.png", exif=exif)
    for drawn in (mask, np.rot90(mask)):
        found = cut(source(drawn), 40)
        assert np.array_equal(found.image, picture[:, 4:44])
        assert np.array_equal(found.mask, mask[:, 4:44])
    found = cut(source(boxes=(edges(mask),)), 40)
    assert found.box == edges(mask[:, 4:44])
    with pytest.raises(DataError, match="in the picture of 48 x 40 pixels as its EXIF orientation shows it"):
        cut(source(boxes=((0, 0, 50, 50),)), 40)


def test_a_square_turned_picture_takes_its_mask_as_drawn_on_what_is_shown(made, tmp_path):
    picture, mask, source = made
    exif = Image.Exif()
    exif[EXIF] = ON_SIDE
    Image.fromarray(np.ascontiguousarray(np.rot90(picture[:, :40]))).save(tmp_path / "a.png", exif=exif)
    found = cut(source(mask[:, :40]), 40)
    assert np.array_equal(found.image, picture[:, :40])
    assert np.array_equal(found.mask, mask[:, :40])


def test_a_picture_of_sixteen_bits_is_no_white_one(made, tmp_path):
    _, mask, source = made
    grey = np.where(mask, 200, 30).astype(np.uint16)
    Image.fromarray(grey * 257).save(tmp_path / "a.png")
    assert np.unique(cut(source(mask), 40).image).tolist() == [30, 200]


def test_a_picture_that_cannot_be_shown_is_refused_by_its_mode(made, tmp_path):
    _, mask, source = made
    Image.fromarray(np.full((40, 48), 300, np.float32)).save(tmp_path / "a.tif")
    (tmp_path / "a.tif").rename(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"it cannot be read \(a picture of mode F must have values from 0 to 1"):
        cut(source(mask), 40)
