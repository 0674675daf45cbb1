"""An archive of which only the first bytes have come, and a note of whose they are."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bgbias.errors import DataError
from bgbias.prepare.fetch.checksum import hashed


def validator(headers: Mapping[str, str]) -> str:
    """A server's name for a file as it is now: its ETag, else its Last-Modified, else empty.

    A weak ETag is passed over: files that share it may differ in bytes.
    """
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


@dataclass(frozen=True)
class Origin:
    """The file of which a part is the beginning: where it lies, its bytes, and its `validator`."""

    url: str
    size: int
    validator: str

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str]) -> "Origin":
        """Read the size and version of a file from the headers of a complete answer.

        Raises:
            DataError: the headers have no size.
        """
        size = headers.get("Content-Length", "")
        if not size.isdecimal():
            raise DataError(f"{url} does not send its size, so that a cut would go unnoticed: give another url")
        return cls(url, int(size), validator(headers))


class PartialDownload:
    """`<archive>.part`, with its origin in `<archive>.part.json`; what an earlier fetch of `url` left is taken up.

    size: how many bytes are there
    """

    def __init__(self, archive: Path, url: str) -> None:
        self.path = archive.with_name(f"{archive.name}.part")
        self._note = archive.with_name(f"{archive.name}.part.json")
        self._origin: Origin | None
        self.forget()
        origin = self._noted()
        if origin and origin.url == url and origin.validator and self.path.exists():
            size = self.path.stat().st_size
            if size <= origin.size:
                self._origin, self._digest, self.size = origin, hashed(self.path), size

    @property
    def total(self) -> int | None:
        """Size of the whole archive in bytes; None before a server has sent it."""
        return self._origin.size if self._origin else None

    @property
    def sha256(self) -> str:
        """Of the bytes that are there."""
        return self._digest.hexdigest()

    @property
    def request(self) -> dict[str, str]:
        """The headers that ask for what is missing, or for the whole file where it is no longer the same."""
        if not (self.size and self._origin and self._origin.validator):
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self._origin.validator}

    def continued_by(self, headers: Mapping[str, str]) -> bool:
        """Return True if an answer with a part of a file begins where this part ends, and is of the same file."""
        content = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
        if not content or not self._origin:
            return False
        same = validator(headers) in ("", self._origin.validator)  # servers may leave it out after If-Range
        return same and (int(content[1]), int(content[2])) == (self.size, self._origin.size)

    def begin(self, origin: Origin) -> None:
        """Drop what is there, and start on a file.

        Raises:
            DataError: the disk does not take it.
        """
        self.forget()
        self._origin = origin
        with self._writing():
            self.path.write_bytes(b"")  # before the note, which must never describe another file's bytes
            self._note.write_text(json.dumps(dataclasses.asdict(origin)))

    def append(self, block: bytes) -> None:
        """Write the next bytes.

        Raises:
            DataError: the disk does not take them.
        """
        with self._writing(), self.path.open("ab") as file:
            file.write(block)
        self._digest.update(block)
        self.size += len(block)

    def forget(self) -> None:
        """Count nothing as there."""
        self._origin = None
        self._digest = hashlib.sha256()
        self.size = 0

    def finish(self, archive: Path) -> None:
        """Give the whole archive its name."""
        self.path.rename(archive)
        self._note.unlink()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be written ({error.strerror}): fix that and fetch again, it continues from there"
            ) from None

    def _noted(self) -> Origin | None:
        try:
            return Origin(**json.loads(self._note.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
