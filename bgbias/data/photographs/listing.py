"""Class folders and their files: the one listing that building, checking and loading share.

Hidden entries are left out: names that begin with a dot (`.ipynb_checkpoints`, `._x.JPEG`), and what file managers
leave (`Thumbs.db`).
"""

from collections.abc import Iterator
from pathlib import Path

LEFT_BY_SYSTEMS = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "__macosx"})


def is_hidden(name: str) -> bool:
    """Return True if entries of this name are left out of listings."""
    return name.startswith(".") or name.lower() in LEFT_BY_SYSTEMS


def entries(folder: Path) -> list[Path]:
    """List the entries of a folder, sorted, without hidden ones; an empty list if there is no folder."""
    return sorted(entry for entry in folder.iterdir() if not is_hidden(entry.name)) if folder.is_dir() else []


def class_folders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted: one for each class."""
    return [entry for entry in entries(folder) if entry.is_dir()]


def files(folder: Path) -> list[Path]:
    """The files in a folder itself, sorted."""
    return [entry for entry in entries(folder) if not entry.is_dir()]


def files_below(folder: Path) -> Iterator[Path]:
    """The files in a folder and in the folders below it, which must not be links."""
    for entry in entries(folder):
        if not entry.is_dir():
            yield entry
        elif not entry.is_symlink():
            yield from files_below(entry)
