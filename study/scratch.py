"""Scratch folders: removed by the process that made them, or by the next study if that process was killed."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "bgbias-scratch-"

_own: set[Path] = set()


class Scratch:
    """A temporary folder with a lock that this process holds until it ends.

    It gets its final name once it is locked, so that `sweep` never finds a folder in use without a lock.
    """

    def __init__(self, place: Path | None = None) -> None:
        """Make the folder and lock it.

        Args:
            place: the folder to make it in; None takes the system's for temporary files.
        """
        hidden = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=place))
        self._lock = os.open(hidden, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.path = hidden.rename(hidden.with_name(hidden.name[1:]))
        _own.add(self.path)

    def remove(self) -> None:
        """Remove the folder and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        _own.discard(self.path)
        os.close(self._lock)


@contextmanager
def scratch(place: Path | None = None) -> Iterator[Path]:
    """A scratch folder for as long as a block runs."""
    made = Scratch(place)
    try:
        yield made.path
    finally:
        made.remove()


def remove_own() -> None:
    """Remove every scratch folder of this process, just before it ends."""
    for folder in list(_own):
        shutil.rmtree(folder, ignore_errors=True)


def sweep(*places: Path) -> None:
    """Remove the scratch folders of ended processes, in the system's temporary folder and in `places`."""
    for place in {Path(tempfile.gettempdir()), *places}:
        for folder in place.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):
                _remove_unlocked(folder)


def _remove_unlocked(folder: Path) -> None:
    """Remove a scratch folder that no process has locked.

    Raises:
        OSError: it is locked, gone, or another user's.
    """
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(opened)
