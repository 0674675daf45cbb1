"""A table of pictures: which file shows which class in which place and belongs to which split.

The table is a CSV file with a header, in the layout of Waterbirds' release: `img_filename,y,split,place`, and perhaps
`mask`. Files are named from the table's folder.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bgbias.errors import DataError, listed

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
"""Names of the splits in tables."""
SENTENCES = "; ", "; and "
"""Separators of findings, and of the number of the others."""
MISSING_TABLE = "give the folder that holds the table, or set dataset/table_file"
ANYWHERE = "anywhere"
"""The only place of a table without places."""
NEAR_FILE_ENDINGS = (".png", ".npy", ".jpg", ".jpeg")
"""Of a mask whose name is its picture's."""


@dataclass(frozen=True)
class Columns:
    """Names of a table's columns; `place` and `mask` are None for a table without them."""

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
class PictureTable:
    """The entries of a table of pictures.

    root: the folder that files are named from
    classes, places: their names, in the order of the entries' numbers
    """

    root: Path
    classes: tuple[str, ...]
    places: tuple[str, ...]
    entries: tuple[Entry, ...]


def read_table(file: Path, columns: Columns, classes: Sequence[str], places: Sequence[str]) -> PictureTable:
    """Read a table.

    Args:
        classes, places: the names of the values 0, 1, ... in the table; empty to take the values themselves, sorted.

    Raises:
        DataError: the file is missing or no table, lacks a column, or holds a value that has no meaning.
    """
    rows = read_rows(file, [name for name in vars(columns).values() if name is not None])
    label = numbers(rows, columns.label, classes)
    place = numbers(rows, columns.place, places) if columns.place else {"": 0}
    root, where = file.parent, columns.place
    faults = [*unknown_values(rows, columns, classes, places), *repeated(row[columns.picture] for row in rows)]
    if faults:
        raise DataError(
            f"{file} {listed(faults, *SENTENCES)}: fix the lines, or name all values by dataset/classes and "
            "dataset/places"
        )
    entries = tuple(
        Entry(
            name=row[columns.picture],
            path=root / row[columns.picture],
            label=label[row[columns.label]],
            place=place[row[where] if where else ""],
            split=SPLITS[row[columns.split].lower()],
            mask=root / row[columns.mask] if columns.mask and row[columns.mask] else None,
        )
        for row in rows
    )
    names = (tuple(classes or label), tuple(places or place) if where else (ANYWHERE,))
    return PictureTable(root, *names, entries)


def read_rows(file: Path, wanted: Sequence[str], missing: str = MISSING_TABLE) -> list[dict[str, str]]:
    """The rows of a CSV file with a header, blanks around values left out.

    Args:
        missing: what to do if there is no such file.

    Raises:
        DataError: it is missing, no UTF-8 text, without rows, cut short, or lacks a column that is wanted.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened, skipinitialspace=True)
            rows, header = list(reader), [name.strip() for name in reader.fieldnames or ()]
    except FileNotFoundError:
        raise DataError(f"{file} is missing: {missing}") from None
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


def numbers(rows: Sequence[Mapping[str, str]], column: str, names: Sequence[str]) -> dict[str, int]:
    """The number of each value of a column: a whole number is its own where names are given."""
    if names:
        return {str(number): number for number in range(len(names))} | {name: n for n, name in enumerate(names)}
    values = {row[column] for row in rows}
    ordered = sorted(values, key=lambda value: (0, int(value), "") if value.isdecimal() else (1, 0, value))
    return {value: number for number, value in enumerate(ordered)}


def unknown_values(
    rows: Sequence[Mapping[str, str]], columns: Columns, classes: Sequence[str], places: Sequence[str]
) -> list[str]:
    """List wrong labels, places and splits in a table's rows, such as `line 2 has split '3'`."""
    named = [(columns.label, classes), (columns.place, places)]
    known = {column: numbers(rows, column, names) for column, names in named if column}
    found = []
    for line, row in enumerate(rows, start=2):
        for column, names in named:
            if column and row[column] not in known[column]:
                told = f"but the names {', '.join(names)} are for 0 to {len(names) - 1}"
                found.append(f"line {line} has {column} '{row[column]}', {told}")
        if row[columns.split].lower() not in SPLITS:
            told = "but a split is 0, 1 or 2, or train, val or test"
            found.append(f"line {line} has {columns.split} '{row[columns.split]}', {told}")
    return found


def repeated(names: Iterable[str]) -> list[str]:
    """The pictures that more than one row names, such as `line 4 names a.jpg again`."""
    seen: set[str] = set()
    found = []
    for line, name in enumerate(names, start=2):
        if name in seen:
            found.append(f"line {line} names {name} again")
        seen.add(name)
    return found


def faulty_pictures(root: Path, faults: Sequence[str]) -> DataError:
    """The error that names what is wrong with some pictures of a folder."""
    number = f"{len(faults)} fault{'' if len(faults) == 1 else 's'}"
    return DataError(
        f"{number} in {root}: {listed(faults, *SENTENCES)}: fix them, or leave these pictures out with "
        "--set dataset/faulty=skip"
    )


def mask_beside(folder: Path, name: str) -> Path | None:
    """The mask of a picture in a folder that has the pictures' own folders and names, if there is one."""
    stem = folder / Path(name).with_suffix("")
    return next((file for ending in NEAR_FILE_ENDINGS if (file := stem.with_name(stem.name + ending)).is_file()), None)
