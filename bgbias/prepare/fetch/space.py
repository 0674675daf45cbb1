"""Room on the disk, asked for before it is used."""

import shutil
from pathlib import Path

from bgbias.errors import DataError

UNPACKED = 2
"""Disk space for the files of an archive, as a multiple of its size; pictures hardly shrink, masks do."""


def free(folder: Path) -> int:
    """Bytes that can be written where `folder` lies."""
    return shutil.disk_usage(folder).free


def require(folder: Path, needed: int, what: str) -> None:
    """Look for room before `what` takes it.

    Raises:
        DataError: fewer than `needed` bytes are free.
    """
    if free(folder) < needed:
        raise DataError(
            f"{what} needs {gigabytes(needed)} in {folder} but {gigabytes(free(folder))} are free: "
            "make room or give another folder"
        )


def gigabytes(count: int) -> str:
    """A number of bytes, such as `1.25 GB`."""
    return f"{count / 1e9:.2f} GB"
