"""Layout of a table of methods by variants, so that no name and no number is cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from rich import box
from rich.table import Table

from study.display import natural_width, results

LONG = 48
"""Letters of a cell above which it is wrapped in the page."""


@dataclass(frozen=True)
class Grid:
    """A table of text cells before its layout.

    title: what the numbers are
    columns: the heads of the columns, such as variants
    rows: by name, such as a method's, one cell for each column
    head, across: what the rows and the columns are
    """

    title: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[str]]
    head: str = "method"
    across: str = "variant"

    def lines(self, start: str = "", end: str = "") -> list[list[str]]:
        """The head and the rows as plain cells; what the terminal shows in bold stands between `start` and `end`."""
        body = [[name, *cells] for name, cells in self.rows.items()]
        return [[_marked(cell, start, end) for cell in row] for row in ([self.head, *self.columns], *body)]

    def markdown(self) -> str:
        """The grid under its title."""
        rows = self.lines("**", "**")
        head, *body = ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]
        return "\n".join([f"{_marked(self.title)}:", "", head, "|" + "---|" * (1 + len(self.columns)), *body])

    def html(self) -> str:
        """The grid under its title, in a box that scrolls where the table is too wide."""
        escaped = Grid("", [escape(c) for c in self.columns], _escaped(self.rows), escape(self.head))
        head, *body = escaped.lines("<b>", "</b>")
        heads = "".join(f"<th>{cell}</th>" for cell in head)
        rows = "".join(f"<tr><th>{name}</th>{''.join(map(_cell, cells))}</tr>" for name, *cells in body)
        title = escape(_marked(self.title))
        return f'<h3>{title}</h3><div class="wide"><table><tr>{heads}</tr>{rows}</table></div>'

    def turned(self) -> "Grid":
        """The same with rows for columns."""
        return Grid(
            self.title,
            list(self.rows),
            {name: [cells[index] for cells in self.rows.values()] for index, name in enumerate(self.columns)},
            self.across,
            self.head,
        )


def _marked(cell: str, start: str = "", end: str = "") -> str:
    return cell.replace("[bold]", start).replace("[/]", end)


def _cell(cell: str) -> str:
    return f'<td class="long">{cell}</td>' if len(cell) > LONG else f"<td>{cell}</td>"


def _escaped(rows: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {escape(name): [escape(cell) for cell in cells] for name, cells in rows.items()}


def laid_out(grid: Grid) -> Table:
    """The grid as it is where that fits the terminal; or else turned; or else one number a line."""
    tables = (table(grid), table(grid.turned()), listed(grid))
    if not results.is_terminal:
        return tables[0]
    return next((found for found in tables if natural_width(found) <= results.width), tables[-1])


def table(grid: Grid) -> Table:
    """A grid as it is."""
    found = empty(grid.title, grid.head)
    for column in grid.columns:
        found.add_column(column, justify="right", no_wrap=True)
    for name, cells in grid.rows.items():
        found.add_row(name, *cells)
    return found


def listed(grid: Grid) -> Table:
    """One number a line."""
    found = empty(grid.title, grid.across, grid.head, "")
    for index, variant in enumerate(grid.columns):
        for name, cells in grid.rows.items():
            found.add_row(variant, name, cells[index])
    return found


def empty(title: str, *columns: str) -> Table:
    """A table without rows."""
    found = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for column in columns:
        found.add_column(column, no_wrap=True)
    return found
