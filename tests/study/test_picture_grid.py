"""Grids of pictures: where everything lies, and that no text is cut."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from study import picture_grid as grids
from study.picture_grid import GAP, INFERNO, LINE, MARGIN, VIRIDIS, Cell, colored, picture_grid, picture_of, scaled


@pytest.fixture
def boxes(monkeypatch):
    """The rectangles of all that is written and pasted."""
    found, text, paste = [], ImageDraw.ImageDraw.text, Image.Image.paste

    def written(self, xy, line, fill, font, **options):
        found.append(self.textbbox(xy, line, font=font, **options))
        text(self, xy, line, fill, font, **options)

    def pasted(self, picture, place):
        found.append((*place, place[0] + picture.width, place[1] + picture.height))
        paste(self, picture, place)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", written)
    monkeypatch.setattr(Image.Image, "paste", pasted)
    return found


def plain(color, size=(4, 4)):
    return Image.new("RGB", size, color)


@pytest.mark.parametrize(
    "words", ["x", "a long and wordy name of something", "03_wheeled_vehicle" * 3, "W" * 90, "a\nb"]
)
@pytest.mark.parametrize(("side", "gap"), [(30, 8), (144, 8), (46, 0)])
def test_nothing_is_cut_and_nothing_covers_anything_else(boxes, words, side, gap):
    cells = [[Cell(plain("red"), words if gap else "") for _ in range(3)]] * 2
    drawn = picture_grid(cells, [words] * 2, [words] * 3, words, side=side, gap=gap, apart=[1])
    assert len(boxes) >= 6 + (6 if gap else 0) + 2 + 3 + 1
    for left, top, right, bottom in boxes:
        assert left >= MARGIN / 2
        assert top >= MARGIN / 2
        assert right <= drawn.width - MARGIN / 2
        assert bottom <= drawn.height - MARGIN / 2
    for at, one in enumerate(boxes):
        for other in boxes[:at]:
            beside = one[2] <= other[0] or other[2] <= one[0]
            assert beside or one[3] <= other[1] or other[3] <= one[1], (one, other)


def test_rows_and_columns_lie_where_they_should():
    cells = [[Cell(plain("red")), Cell(plain("lime"))], [Cell(plain("blue"))]]
    drawn = picture_grid(cells, ["", ""], side=8)
    first = MARGIN + GAP
    assert drawn.size == (first + 2 * 8 + GAP + MARGIN, MARGIN + 2 * 8 + GAP + MARGIN)
    middles = [(first + 4 + x * (8 + GAP), MARGIN + 4 + y * (8 + GAP)) for y in (0, 1) for x in (0, 1)]
    assert [drawn.getpixel(at) for at in middles] == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
    assert drawn.getpixel((first - 1, MARGIN - 1)) == (0, 0, 0)  # the frame
    assert picture_grid(cells, ["", ""], side=8, apart=[1]).width == drawn.width + 2 * GAP


def test_a_caption_has_its_colour_and_makes_room_for_its_lines():
    plainly, captioned = ([[Cell(plain("white"), text, "firebrick")]] for text in ("", "one\ntwo"))
    assert picture_grid(captioned, [""]).height == picture_grid(plainly, [""]).height + 2 * LINE + GAP
    colors = {color for _, color in picture_grid(captioned, [""]).getcolors(1 << 16)}
    assert (178, 34, 34) in colors
    assert len({color for _, color in picture_grid(plainly, [""]).getcolors()}) == 2  # the frame on white


def test_an_empty_grid_is_a_picture():
    assert picture_grid([], [], title="nothing").width > 0
    assert picture_grid([[], []], ["a", "b"]).height > 0


@pytest.mark.parametrize(
    ("size", "drawn"), [((8, 8), (144, 144)), ((28, 28), (140, 140)), ((100, 50), (100, 50)), ((288, 144), (144, 72))]
)
def test_small_pictures_grow_by_a_whole_number_and_large_ones_shrink(size, drawn):
    picture = scaled(plain("red", size), 144)
    assert picture.size == drawn
    assert scaled(picture, 144).size == drawn


def test_pixels_stay_sharp():
    picture = scaled(picture_of(np.array([[0.0, 1.0]])), 5)
    assert np.array_equal(np.array(picture)[..., 0], [[0, 0, 255, 255]] * 2)


def test_a_picture_of_values():
    grey = np.array([[[-1.0, 0.5], [1.0, 2.0]]])
    assert np.array_equal(np.array(picture_of(grey)), np.repeat([[[0], [128]], [[255], [255]]], 3, axis=2))
    assert np.array_equal(np.array(picture_of(grey[0])), np.array(picture_of(grey)))
    color = np.array([1.0, 0.0, 0.2])[:, None, None]
    assert np.array(picture_of(color)).tolist() == [[[255, 0, 51]]]
    assert np.array(picture_of(np.array([[True, False]]))).tolist() == [[[255] * 3, [0] * 3]]


def test_colours_of_a_scale():
    assert colored([0, 0.25, 0.125], VIRIDIS).tolist() == [[68, 1, 84], [59, 82, 139], [64, 42, 112]]
    assert colored([[1.0]], INFERNO).tolist() == [[[252, 255, 164]]]


def test_lines_break_between_words_after_underscores_and_else_anywhere():
    width = grids.width_of("wheeled_")
    assert grids.wrapped("wheeled_car", width) == ["wheeled_", "car"]
    assert grids.wrapped("wheeled car", width) == ["wheeled", "car"]
    assert grids.wrapped("a\nb", width) == ["a", "b"]
    assert grids.wrapped("", width) == []
    assert "".join(grids.wrapped("W" * 40, width)) == "W" * 40


def test_without_fonts_accents_are_left_out(monkeypatch):
    monkeypatch.setattr(grids, "FONTS", ())
    grids.font.cache_clear()
    assert grids.drawable("Käfer 3") == "Kafer 3"
    assert grids.width_of("Käfer") == grids.width_of("Kafer")
    grids.font.cache_clear()
