"""Files that appear whole or not at all, room for them, and checksums that verify that a folder is complete."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bgbias.errors import CheckpointError, DataError

CHECKSUMS = "sha256.json"
"""The file of a folder that holds the SHA-256 of every other file in it."""


@contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to; it replaces `path` when the block ends without an error.

    A reader sees the old file or the new one, never a part of it. A block that fails leaves nothing behind.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def room(folder: Path) -> int:
    """Bytes that can be written where a folder lies."""
    return shutil.disk_usage(folder).free


def require_room(folder: Path, needed: int, what: str, otherwise: str = "give another folder") -> None:
    """Check the free space of a disk before something takes it.

    Args:
        needed: bytes.
        what: takes them; otherwise: the way out beside making room.

    Raises:
        DataError: fewer bytes are free.
    """
    free = room(folder)
    if free < needed:
        raise DataError(
            f"{what} needs {gigabytes(needed)} in {folder}, but {gigabytes(free)} are free: make room, or {otherwise}"
        )


def gigabytes(count: int) -> str:
    """A number of bytes, such as `1.25 GB`."""
    return f"{count / 1e9:.2f} GB"


def sha256(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def write_checksums(folder: Path) -> None:
    """Write the SHA-256 of every file of a flat folder into its `sha256.json`."""
    sums = {file.name: sha256(file) for file in sorted(folder.iterdir()) if file.name != CHECKSUMS}
    with atomically(folder / CHECKSUMS) as partial:
        partial.write_text(json.dumps(sums, indent=1))


def verify_checksums(folder: Path, *names: str) -> None:
    """Verify a folder's files, or those named, against its checksums. Files added later are not looked at.

    Raises:
        CheckpointError: the checksums are missing, or a file is missing or differs.
    """
    try:
        sums = json.loads((folder / CHECKSUMS).read_text())
    except (OSError, ValueError):
        raise CheckpointError(
            f"{folder} was cut short: it lacks a readable {CHECKSUMS}; give a whole checkpoint"
        ) from None
    for name in names or sums:
        try:
            whole = sha256(folder / name) == sums.get(name)
        except OSError:
            whole = False
        if not whole:
            raise CheckpointError(f"{folder / name} is missing or damaged (its checksum differs): give a whole one")
