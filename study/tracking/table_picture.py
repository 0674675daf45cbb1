"""A small picture of a table: one field a value, from dark blue (smallest) to yellow (largest); grey without value."""

import numpy as np
from PIL import Image, ImageDraw

from bgbias.table import Table
from study.picture_grid import VIRIDIS, Cell, colored, font, picture_grid

FIELD, LETTER = 52, 11
"""Pixels of a field's side and of the letters in it."""
MISSING_COLOR = (200, 200, 200)


def table_picture(table: Table) -> Image.Image:
    """The table with its names and values."""
    colors = table_colors(table)
    cells = [[field(*drawn) for drawn in zip(*row, strict=True)] for row in zip(table.values, colors, strict=True)]
    return picture_grid(cells, table.rows, table.columns, side=FIELD, gap=0)


def field(value: float, color: np.ndarray) -> Cell:
    """A value in the middle of its colour."""
    picture = Image.new("RGB", (FIELD, FIELD), tuple(color.tolist()))
    ink = "black" if color.sum(dtype=int) > 380 else "white"
    middle = (FIELD // 2, FIELD // 2)
    ImageDraw.Draw(picture).text(middle, f"{value:.2g}", ink, font(LETTER), anchor="mm")
    return Cell(picture)


def table_colors(table: Table) -> np.ndarray:
    """[R, C, 3] in 0..255: each value's colour, from the smallest to the largest of the table."""
    values = np.array(table.values, dtype=float).reshape(len(table.rows), len(table.columns))
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    colors = colored((values - low) / (high - low or 1.0), VIRIDIS)
    colors[~np.isfinite(values)] = MISSING_COLOR
    return colors
