"""Seals: checksums written into a folder after everything else, so that a reader knows whether it is whole."""

import hashlib
import json
from pathlib import Path

from bgbias.errors import CheckpointError

SEAL = "sha256.json"


def seal(folder: Path) -> None:
    """Write down the SHA-256 of every file of a flat folder; a reader sees the old seal or the new one."""
    sums = {file.name: checksum(file) for file in sorted(folder.iterdir()) if file.name != SEAL}
    partial = folder / f"{SEAL}.partial"
    partial.write_text(json.dumps(sums, indent=1))
    partial.replace(folder / SEAL)


def check_seal(folder: Path, *names: str) -> None:
    """Whether the sealed files, or those named, are as they were when they were sealed. Later files do not matter.

    Raises:
        CheckpointError: the seal is missing, or a file is missing or differs.
    """
    try:
        sums = json.loads((folder / SEAL).read_text())
    except (OSError, ValueError):
        raise CheckpointError(f"{folder} was cut short: it lacks a readable {SEAL}; give a whole checkpoint") from None
    for name in names or sums:
        try:
            whole = checksum(folder / name) == sums.get(name)
        except OSError:
            whole = False
        if not whole:
            raise CheckpointError(f"{folder / name} is missing or damaged (its checksum differs): give a whole one")


def checksum(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
