"""Checksums of archives: given by the user, or kept from the first one that proved good."""

import hashlib
import re
from pathlib import Path

from bgbias.errors import DataError, SettingError
from bgbias.files import atomically
from bgbias.progress import track

BLOCK = 1 << 20
"""Bytes of one step of progress."""


def blocks(size: int) -> int:
    """In how many blocks `size` bytes lie, the last one perhaps in part."""
    return -(-size // BLOCK)


def hashed(path: Path) -> "hashlib._Hash":
    """The sha256 of a file, to which more can be added."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        read = iter(lambda: file.read(BLOCK), b"")
        for block in track(read, f"checking {path.name}", blocks(path.stat().st_size)):
            digest.update(block)
    return digest


def checked_sha256(value: str | None) -> str | None:
    """The checksum in small letters.

    Raises:
        SettingError: it is not 64 hexadecimal digits.
    """
    if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise SettingError(f"sha256 must be 64 hexadecimal digits, but got '{value}': print it with sha256sum")
    return value and value.lower()


class Checksums:
    """The expected checksum of an archive: the given one, or the one in `<archive>.sha256`, or any.

    Raises:
        DataError: the kept one cannot be read.
    """

    def __init__(self, archive: Path, given: str | None) -> None:
        self._name, self._given = archive.name, given
        self._file = archive.with_name(f"{archive.name}.sha256")
        self._kept = self._read() if self._file.exists() else None

    def check(self, path: Path, found: str) -> None:
        """Compare the checksum found for `path` with the expected one.

        Raises:
            DataError: they differ.
        """
        if self._given and found != self._given:
            raise DataError(
                f"{path} has sha256 {found}, but {self._given} was given: "
                f"correct it, or delete {path.name} and fetch again"
            )
        if not self._given and self._kept and found != self._kept:
            raise DataError(
                f"{path} has sha256 {found}, but {self._file.name} says {self._kept}: "
                f"delete {path.name} and fetch again, or if the release has changed, give the new sha256"
            )

    def keep(self, found: str) -> None:
        """Remember a checksum for later fetches."""
        with atomically(self._file) as partial:
            partial.write_text(f"{found}  {self._name}\n")

    def _read(self) -> str:
        line = self._file.read_text(errors="replace").split()
        if not line or not re.fullmatch(r"[0-9a-f]{64}", line[0]):
            raise DataError(f"{self._file} holds no sha256: delete it and fetch again")
        return line[0]
