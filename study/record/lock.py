"""One process at a time in a folder that a command fills."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from bgbias.errors import SettingError

OUTPUTS = Path("outputs")
"""Where what a command makes goes by default."""
LOCK = "study.lock"
"""The file of a folder that is locked by the process that fills it."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder, which is there, until the block ends or the process dies.

    Raises:
        SettingError: another process holds the lock, or the folder cannot be written.
    """
    try:
        lock = (folder / LOCK).open("a")  # some network file systems lock only what is open for writing
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
