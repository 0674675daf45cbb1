"""A small picture of a table: one field a value, from dark blue (smallest) to yellow (largest); grey without value."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bgbias.table import Table

FIELD, LETTER, LINE = 34, 6, 14
"""Pixels of a field's side, a letter's width and a line's height."""
SCALE = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""The colours of Matplotlib's viridis at 0, 1/4, 1/2, 3/4 and 1."""
MISSING_COLOR = (200, 200, 200)


def table_picture(table: Table) -> Image.Image:
    """The table with its names and values."""
    colors = table_colors(table)
    rows, columns = colors.shape[:2]
    left = LETTER * max(map(len, table.rows), default=0) + 8
    picture = Image.new("RGB", (left + FIELD * columns + 1, LINE + FIELD * rows + 1), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(10)
    for column, name in enumerate(table.columns):
        draw.text((left + FIELD * column + 2, 1), name[: FIELD // LETTER], "black", font)
    for row, name in enumerate(table.rows):
        top = LINE + FIELD * row
        draw.text((4, top + FIELD // 3), name, "black", font)
        for column, value in enumerate(table.values[row]):
            x = left + FIELD * column
            color = tuple(int(part) for part in colors[row, column])
            draw.rectangle((x, top, x + FIELD, top + FIELD), color)
            ink = "black" if sum(color) > 380 else "white"
            draw.text((x + 4, top + FIELD // 3), f"{value:.2g}", ink, font)
    return picture


def table_colors(table: Table) -> np.ndarray:
    """[R, C, 3] in 0..255: each value's colour, from the smallest to the largest of the table."""
    values = np.array(table.values, dtype=float).reshape(len(table.rows), len(table.columns))
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    share = (values - low) / (high - low or 1.0)
    places = np.linspace(0, 1, len(SCALE))
    colors = np.stack([np.interp(share, places, channel) for channel in np.array(SCALE).T], axis=-1).round()
    colors[~np.isfinite(values)] = MISSING_COLOR
    return colors
