"""A table of pictures: which file shows which class in which place and belongs to which split.

The table is a CSV file with a header, in the layout of Waterbirds' release: `img_filename,y,split,place`, and perhaps
`mask`. Files are named from the table's folder.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bgbias.errors import DataError

TRAIN, VALIDATION, TEST = range(3)
SPLITS = {
    "0": TRAIN,
    "train": TRAIN,
    "training": TRAIN,
    "1": VALIDATION,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "2": TEST,
    "test": TEST,
}
"""What tables call the splits."""
NAMED = 3
"""How many of many findings an error names."""
ANYWHERE = "anywhere"
"""The only place of a table without places."""
NEAR_FILE_ENDINGS = (".png", ".npy", ".jpg", ".jpeg")
"""Of a mask whose name is its picture's."""


@dataclass(frozen=True)
class Columns:
    """What a table's columns are called; `place` and `mask` may be None for a table without."""

    picture: str
    label: str
    split: str
    place: str | None
    mask: str | None


@dataclass(frozen=True)
class Entry:
    """One picture.

    name: its file's name from the folder; path: where it lies
    label, place: positions among the names of classes and places; split: `TRAIN`, `VALIDATION` or `TEST`
    mask: the file of its mask, or None
    """

    name: str
    path: Path
    label: int
    place: int
    split: int
    mask: Path | None = None


@dataclass(frozen=True)
class Table:
    """The entries of a table of pictures.

    root: the folder that files are named from
    classes, places: their names, in the order of the entries' numbers
    """

    root: Path
    classes: tuple[str, ...]
    places: tuple[str, ...]
    entries: tuple[Entry, ...]


def read_table(file: Path, columns: Columns, classes: Sequence[str], places: Sequence[str]) -> Table:
    """Read a table.

    Args:
        classes, places: the names of the values 0, 1, ... in the table; empty to take the values themselves, sorted.

    Raises:
        DataError: the file is missing or no table, lacks a column, or holds a value that has no meaning.
    """
    rows = read_rows(file, [name for name in vars(columns).values() if name is not None])
    label = numbers(file, rows, columns.label, classes)
    place = numbers(file, rows, columns.place, places) if columns.place else {"": 0}
    root, where = file.parent, columns.place
    entries = tuple(
        Entry(
            name=row[columns.picture],
            path=root / row[columns.picture],
            label=label[row[columns.label]],
            place=place[row[where] if where else ""],
            split=split_of(file, number, columns.split, row[columns.split]),
            mask=root / row[columns.mask] if columns.mask and row[columns.mask] else None,
        )
        for number, row in enumerate(rows, start=2)
    )
    check_unique(file, [entry.name for entry in entries])
    names = (tuple(classes or label), tuple(places or place) if where else (ANYWHERE,))
    return Table(root, *names, entries)


def read_rows(file: Path, wanted: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header, blanks around values left out.

    Raises:
        DataError: it is missing, no UTF-8 text, without rows, cut short, or lacks a column that is wanted.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened, skipinitialspace=True)
            rows, header = list(reader), [name.strip() for name in reader.fieldnames or ()]
    except FileNotFoundError:
        raise DataError(f"{file} is missing: give the folder that holds the table, or set dataset/table_file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read ({error}): give a CSV file in UTF-8") from None
    lacking = [name for name in wanted if name not in header]
    if lacking:
        raise DataError(
            f"{file} has no column '{lacking[0]}', but {', '.join(header) or 'none'}: name its columns by "
            "dataset/picture_column, label_column, split_column, place_column and mask_column"
        )
    for number, row in enumerate(rows, start=2):
        if any(row.get(name) is None for name in wanted):
            raise DataError(f"{file} line {number} has fewer columns than its header: fix the line")
    if not rows:
        raise DataError(f"{file} names no picture: give a table with rows")
    return [{name: row[name].strip() for name in wanted} for row in rows]


def numbers(file: Path, rows: Sequence[Mapping[str, str]], column: str, names: Sequence[str]) -> dict[str, int]:
    """The number of each value of a column: a whole number is its own where names are given.

    Raises:
        DataError: a value is outside the names.
    """
    values = {row[column] for row in rows}
    if not names:
        ordered = sorted(values, key=lambda value: (0, int(value), "") if value.isdecimal() else (1, 0, value))
        return {value: number for number, value in enumerate(ordered)}
    known = {str(number): number for number in range(len(names))} | {name: n for n, name in enumerate(names)}
    for number, row in enumerate(rows, start=2):
        if row[column] not in known:
            raise DataError(
                f"{file} line {number} has {column} '{row[column]}', but the names {', '.join(names)} are for 0 to "
                f"{len(names) - 1}: fix the line, or name all values by dataset/classes or dataset/places"
            )
    return known


def split_of(file: Path, line: int, column: str, value: str) -> int:
    """The split that a value stands for.

    Raises:
        DataError: it stands for none.
    """
    found = SPLITS.get(value.lower())
    if found is None:
        raise DataError(f"{file} line {line} has {column} '{value}': give 0, 1 or 2, or train, val or test")
    return found


def check_unique(file: Path, names: Sequence[str]) -> None:
    """Check that every picture is named once.

    Raises:
        DataError: two rows name the same picture.
    """
    seen: set[str] = set()
    for number, name in enumerate(names, start=2):
        if name in seen:
            raise DataError(f"{file} line {number} names {name} again: leave one of the rows out")
        seen.add(name)


def shortened(findings: Sequence[str]) -> str:
    """The first of many findings, and how many more there are."""
    more = f"; and {len(findings) - NAMED} more" if len(findings) > NAMED else ""
    return "; ".join(findings[:NAMED]) + more


def mask_beside(folder: Path, name: str) -> Path | None:
    """The mask of a picture in a folder that has the pictures' own folders and names, if there is one."""
    stem = folder / Path(name).with_suffix("")
    return next((file for ending in NEAR_FILE_ENDINGS if (file := stem.with_name(stem.name + ending)).is_file()), None)
