"""A grid of pictures with names, headings and captions, drawn with Pillow."""

import functools
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

SIDE = 144
"""Of a picture's field: pixels."""
GAP, MARGIN = 8, 10
"""Pixels between two fields, and around everything."""
NAME_WIDTH = 120
"""Pixels of a row's name at most."""
TITLE_WIDTH = 400
"""Pixels of a picture with a title at least."""
LETTER, TITLE_LETTER, LINE, TITLE_LINE = 12, 14, 16, 20
"""Pixels of letters and lines: everywhere, and in the title."""
FONTS = ("DejaVuSans.ttf", "Arial.ttf", "LiberationSans-Regular.ttf")
OWN = "Aileron"
"""The first font that the machine has is used, else Pillow's own, which has no letters with accents."""
VIRIDIS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
INFERNO = ("#000004", "#1b0c41", "#4a0c6b", "#781c6d", "#a52c60", "#cf4446", "#ed6925", "#fb9b06", "#f7d13d", "#fcffa4")
"""Colours at equal steps from 0 to 1, of S. van der Walt and N. Smith, 2015."""


@dataclass(frozen=True)
class Cell:
    """A picture, the lines below it, and their colour."""

    picture: Image.Image
    caption: str = ""
    color: str = "black"


def picture_grid(
    cells: Sequence[Sequence[Cell]],
    names: Sequence[str],
    headings: Sequence[str] = (),
    title: str = "",
    *,
    side: int = SIDE,
    gap: int = GAP,
    apart: Collection[int] = (),
) -> Image.Image:
    """Draw rows of pictures; each text is wrapped, and there is room for all of it.

    Args:
        cells: rows of pictures; shorter rows end earlier.
        names: one left of each row.
        headings: one above each column, or none.
        title: above everything.
        side: of a field, in pixels; a picture fills it as `scaled` says.
        gap: between two fields, in pixels; a frame around each picture lies in it.
        apart: columns that have some room before them.
    """
    shown_names = [wrapped(name, NAME_WIDTH) for name in names]
    shown_headings = [wrapped(heading, side) for heading in headings]
    left = MARGIN + max((width_of(line) for lines in shown_names for line in lines), default=0) + GAP
    columns = max(map(len, cells), default=0)
    lefts = [left + at * (side + gap) + 2 * GAP * sum(one <= at for one in apart) for at in range(columns + 1)]
    width = max(lefts[-1] - gap + MARGIN, TITLE_WIDTH if title else 0)
    shown_title = wrapped(title, width - 2 * MARGIN, TITLE_LETTER)
    top = MARGIN + TITLE_LINE * len(shown_title) + (GAP if title else 0)
    tops = [top + LINE * max(map(len, shown_headings), default=0) + (GAP // 2 if headings else 0)]
    captions = [[wrapped(cell.caption, side) for cell in row] for row in cells]
    for name, row in zip(shown_names, captions, strict=True):
        below = max(map(len, row), default=0)
        tops.append(tops[-1] + gap + max(side + LINE * below + (GAP if below else 0), LINE * len(name)))

    picture = Image.new("RGB", (width, tops[-1] - gap + MARGIN), "white")
    draw = ImageDraw.Draw(picture)
    write(draw, (width // 2, MARGIN), shown_title, letter=TITLE_LETTER, line=TITLE_LINE)
    for x, lines in zip(lefts, shown_headings, strict=False):
        write(draw, (x + side // 2, tops[0] - GAP // 2 - LINE * len(lines)), lines)
    for y, name, shown_row, lines_below in zip(tops, shown_names, cells, captions, strict=False):
        write(draw, (left - GAP, y + max(0, side - LINE * len(name)) // 2), name, anchor="ra")
        for x, cell, lines in zip(lefts, shown_row, lines_below, strict=False):
            shown = scaled(cell.picture, side)
            place = (x + (side - shown.width) // 2, y + (side - shown.height) // 2)
            if gap:
                ends = (place[0] + shown.width, place[1] + shown.height)
                draw.rectangle((place[0] - 1, place[1] - 1, *ends), outline="black")
            picture.paste(shown, place)
            write(draw, (x + side // 2, y + side + 4), lines, cell.color)
    return picture


def picture_of(values: ArrayLike) -> Image.Image:
    """The picture of [1 or 3, H, W] or [H, W] values, of which 0 and less is dark and 1 and more is bright."""
    pixels = (255 * np.asarray(values).clip(0, 1)).round().astype(np.uint8)
    channels = np.broadcast_to(pixels, (3, *pixels.shape[-2:]))
    return Image.fromarray(np.ascontiguousarray(channels.transpose(1, 2, 0)))


def scaled(picture: Image.Image, side: int) -> Image.Image:
    """A picture as large as fits into a square: enlarged by a whole number, so that pixels stay sharp, or shrunk."""
    longest = max(picture.size)
    factor = side // longest if longest <= side else side / longest
    size = [max(1, round(length * factor)) for length in picture.size]
    return picture.resize((size[0], size[1]), Image.Resampling.BOX)


def colored(shares: ArrayLike, scale: Sequence[str]) -> NDArray[np.uint8]:
    """[..., 3] in 0..255: the colour of each share in [0, 1] on a scale of colours at equal steps."""
    steps = np.array([[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in scale])
    places = np.linspace(0, 1, len(steps))
    mixed = np.stack([np.interp(np.asarray(shares), places, channel) for channel in steps.T], axis=-1)
    found: NDArray[np.uint8] = np.nan_to_num(mixed).round().astype(np.uint8)
    return found


def write(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    lines: Sequence[str],
    color: str = "black",
    anchor: str = "ma",
    letter: int = LETTER,
    line: int = LINE,
) -> None:
    """Lines below each other; `place` is the first one's upper end, in the middle (anchor `ma`) or right (`ra`)."""
    for at, text in enumerate(lines):
        draw.text((place[0], place[1] + at * line), drawable(text, letter), color, font(letter), anchor=anchor)


def wrapped(text: str, width: int, letter: int = LETTER) -> list[str]:
    """Its lines, each at most `width` pixels wide: broken at spaces, after underscores, and else between letters."""
    lines = []
    for paragraph in text.split("\n") if text else ():
        line = ""
        for word in paragraph.replace("_", "_\0").replace(" ", " \0").split("\0"):
            if line and width_of((line + word).rstrip(), letter) > width:
                lines.append(line.rstrip())
                line = ""
            line += word
            while width_of(line.rstrip(), letter) > width and len(line) > 1:
                fits = max(n for n in range(1, len(line)) if n == 1 or width_of(line[:n], letter) <= width)
                lines.append(line[:fits])
                line = line[fits:]
        lines.append(line.rstrip())
    return lines


def width_of(text: str, letter: int = LETTER) -> int:
    """Pixels that a line is wide."""
    return int(np.ceil(font(letter).getlength(drawable(text, letter))))


def drawable(text: str, letter: int = LETTER) -> str:
    """The text, without accents where only Pillow's own font is there."""
    if font(letter).getname()[0] != OWN:
        return text
    return "".join(part for part in unicodedata.normalize("NFKD", text) if not unicodedata.combining(part))


@functools.cache
def font(letter: int) -> ImageFont.FreeTypeFont:
    """The font of letters of a size in pixels."""
    for name in FONTS:
        try:
            return ImageFont.truetype(name, letter)
        except OSError:
            continue
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(letter))
