"""A table of named numbers. Needs no torch, so that a process that only passes tables on starts quickly."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from bgbias.errors import SettingError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Table:
    """Numbers with names, such as a probability for each pair of classes; NaN where there is none.

    values: R rows of C numbers; rows: R names; columns: C names

    Raises:
        SettingError: the values are not R x C.
    """

    values: tuple[tuple[float, ...], ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.rows) or any(len(row) != len(self.columns) for row in self.values):
            lengths = sorted({len(row) for row in self.values})
            raise SettingError(
                f"a table of {len(self.rows)} x {len(self.columns)} names needs as many values, but got "
                f"{len(self.values)} rows of {lengths} values: give one value for each pair of names"
            )

    @classmethod
    def of(cls, values: "Tensor | Sequence[Sequence[float]]", rows: Sequence[str], columns: Sequence[str]) -> Self:
        """A table of a tensor [R, C] on any device, or of nested lists."""
        plain = values if isinstance(values, Sequence) else values.tolist()
        return cls(tuple(tuple(map(float, row)) for row in plain), tuple(rows), tuple(columns))

    def to_json(self) -> dict[str, Any]:
        """Plain values: "values", "rows" and "columns"."""
        return {"values": [list(row) for row in self.values], "rows": list(self.rows), "columns": list(self.columns)}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """The table that `to_json` gave; a value that is missing is NaN."""
        values = [[math.nan if value is None else value for value in row] for row in found["values"]]
        return cls.of(values, found["rows"], found["columns"])
