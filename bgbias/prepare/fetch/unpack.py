"""Unpack an archive that is not trusted: nothing is written outside, and nothing stays that only looks whole."""

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from bgbias.errors import DataError
from bgbias.files import gigabytes, require_room, room
from bgbias.prepare.fetch.checksum import BLOCK
from bgbias.prepare.fetch.releases import Release
from bgbias.progress import track

UNPACKED = 2
"""Disk space for the files of an archive, as a multiple of its size; pictures hardly shrink, masks do."""
MOST_UNPACKED = 20
"""Times an archive's size: pictures hardly shrink, so that an archive that grows by more holds something else."""
DAMAGED = (gzip.BadGzipFile, tarfile.TarError, zlib.error, EOFError, ValueError)


def unpack_release(archive: Path, release: Release) -> None:
    """Unpack into `<top>.part` beside the archive, read to the end, count, and only then move `top` into place.

    Raises:
        DataError: the archive is damaged, holds other files than the release, would write elsewhere or grow too
            much; or the disk is too small.
    """
    folder, size = archive.parent, archive.stat().st_size
    again = f"delete {archive} and fetch again"
    partial = folder / f"{release.top}.part"
    try:
        if partial.exists():
            shutil.rmtree(partial)
        require_room(folder, UNPACKED * size, f"unpacking {archive.name}")
        with _Bounded(archive, MOST_UNPACKED * size, room(folder)) as stream:
            files = _unpacked(stream, archive, release.top, partial)
            for _ in track(files, f"unpacking {archive.name}", sum(release.counts.values())):
                pass
            stream.drain()
        release.check(partial / release.top, f"{archive} is not the release, {again}")
        (partial / release.top).rename(folder / release.top)
    except DAMAGED as error:
        raise DataError(f"{archive} is damaged ({error}): {again}") from None
    except OSError as error:
        raise DataError(f"{archive} cannot be unpacked ({error.strerror or error}): fix that and fetch again") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _unpacked(stream: "_Bounded", archive: Path, top: str, into: Path) -> Iterator[str]:
    """The name of each file, once it is written."""
    with tarfile.open(fileobj=stream, mode="r|", bufsize=BLOCK) as members:
        for member in members:
            fault = _fault(member, top, into)
            if fault:
                raise DataError(
                    f"{archive} holds {member.name!r}, which {fault}: delete the archive and fetch it from elsewhere"
                )
            if not member.isdir():
                members.extract(member, into, set_attrs=False, filter="data")
                yield member.name


def _fault(member: tarfile.TarInfo, top: str, into: Path) -> str:
    """Return the reason why a member must not be unpacked; empty if it may be.

    All symbolic links are refused: with them, a name would not determine where a file is written.
    """
    if not _lies_in(member.name, top) and not (member.isdir() and member.name == "."):
        return f"is not in {top}/"
    if member.islnk() and not (_lies_in(member.linkname, top) and (into / member.linkname).is_file()):
        return f"links to {member.linkname!r}, which is no file unpacked before"
    if not (member.isdir() or member.islnk() or (member.isfile() and not member.issparse())):
        return f"links to {member.linkname!r}" if member.issym() else "is neither a file nor a folder"
    return ""


def _lies_in(name: str, top: str) -> bool:
    parts = PurePosixPath(name).parts
    return parts[:1] == (top,) and ".." not in parts


class _Bounded(gzip.GzipFile):
    """A gzipped file that ends in a DataError rather than give more than `most` or `room` bytes."""

    def __init__(self, archive: Path, most: int, room: int) -> None:
        super().__init__(archive)
        self._archive, self._most, self._room = archive, most, room
        self._given = 0

    def read(self, size: int | None = -1) -> bytes:
        block = super().read(size)
        self._given += len(block)
        if self._given > self._most:
            raise DataError(
                f"{self._archive} unpacks to more than {MOST_UNPACKED} times its size: "
                "delete it and fetch it from elsewhere"
            )
        if self._given > self._room:
            raise DataError(
                f"{self._archive} unpacks to more than the {gigabytes(self._room)} that are free: "
                "make room and fetch again"
            )
        return block

    def drain(self) -> None:
        """Read on to the end, past which the checksum of gzip is checked."""
        while self.read(BLOCK):
            pass
