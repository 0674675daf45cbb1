"""A lock on an output folder, so that one process at a time writes into it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from bgbias.errors import SettingError

OUTPUTS = Path("outputs")
"""Default folder of everything that commands write."""
LOCK = "study.lock"
"""File of a folder that the process which writes into the folder locks."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock an existing folder until the block ends or the process dies.

    Raises:
        SettingError: another process holds the lock, or the folder cannot be written.
    """
    try:
        lock = (folder / LOCK).open("a")  # some network file systems lock only files that are open for writing
    except OSError as error:
        raise SettingError(
            f"{folder} cannot be written ({error.strerror}): copy it to where it can, and use the copy"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingError(
                f"{folder} is being run by another process: wait for its end, or give another folder"
            ) from None
        yield


def is_unused(folder: Path) -> bool:
    """Return True if a folder is missing, or holds nothing but a lock."""
    if not folder.is_dir():
        return not folder.exists()
    return all(item.name == LOCK for item in folder.iterdir())


def new_folder(stem: str) -> Path:
    """Make `outputs/<stem>-<date>-<time>`, with -2, -3, ... appended where that is taken."""
    first = folder = OUTPUTS / f"{stem}-{datetime.now():%Y%m%d-%H%M%S}"
    number = 1
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
            folder = first.with_name(f"{first.name}-{number}")
        else:
            return folder
