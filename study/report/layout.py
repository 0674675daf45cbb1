"""How a table of methods by variants is laid out, so that neither a name nor a number is cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from study.display import natural_width, results


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

    def turned(self) -> "Grid":
        """The same with rows for columns."""
        return Grid(
            self.title,
            list(self.rows),
            {name: [cells[index] for cells in self.rows.values()] for index, name in enumerate(self.columns)},
            self.across,
            self.head,
        )


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
