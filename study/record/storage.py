"""Storage of trials' checkpoints while they train: a folder or any URI that the driver and every node can reach."""

import contextlib
import copy
import shutil
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pyarrow import ArrowInvalid, fs

from bgbias.errors import SettingError
from bgbias.files import CHECKSUMS, verify_checksums

PLACE = "://"
"""Marks a URI, not a path."""


class Storage:
    """Folders with checksums, under names such as `trial/state/3`."""

    def __init__(self, uri: str) -> None:
        """Open a storage.

        Args:
            uri: a path, or `s3://bucket/folder?endpoint_override=...`, `gs://...`, `abfss://...` or `hdfs://...`, as
                pyarrow opens it.

        Raises:
            SettingError: pyarrow cannot open it.
        """
        self._files, self._root = opened(uri)

    def below(self, name: str) -> "Storage":
        """Open the part of the storage below a name, as a storage of its own."""
        part = copy.copy(self)
        part._root = self._at(name)
        return part

    def put(self, folder: Path, name: str) -> None:
        """Copy a folder to a name. Its checksums are copied last, so an incomplete copy has none.

        Raises:
            OSError: the storage cannot be written.
        """
        self.delete(name)
        self._files.create_dir(self._at(name))
        for file in sorted(folder.iterdir(), key=lambda file: file.name == CHECKSUMS):
            fs.copy_files(
                str(file),
                f"{self._at(name)}/{file.name}",
                source_filesystem=fs.LocalFileSystem(),
                destination_filesystem=self._files,
            )

    def get(self, name: str, folder: Path) -> None:
        """Copy a folder to a path on this machine, which gets the complete folder or nothing.

        Raises:
            CheckpointError: the folder is missing, incomplete or damaged.
            OSError: the storage cannot be read.
        """
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with contextlib.suppress(FileNotFoundError):
            fs.copy_files(
                self._at(name), str(partial), source_filesystem=self._files, destination_filesystem=fs.LocalFileSystem()
            )
        verify_checksums(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)

    def names(self, prefix: str) -> list[str]:
        """List the last parts of all names that begin with `prefix/`."""
        found = self._files.get_file_info(fs.FileSelector(self._at(prefix), allow_not_found=True))
        return [info.base_name for info in found]

    def delete(self, name: str) -> None:
        """Remove a folder and everything in it, if it exists."""
        if self._files.get_file_info(self._at(name)).type != fs.FileType.NotFound:
            self._files.delete_dir(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"


def opened(uri: str) -> tuple[fs.FileSystem, str]:
    """Open the file system of a path or URI, and return it with the path inside it.

    Raises:
        SettingError: it cannot be opened, or the URI holds a password.
    """
    if PLACE not in uri:
        return fs.LocalFileSystem(), str(Path(uri).absolute())
    if urlsplit(uri).password:
        raise SettingError("--storage must not hold a password: give it by the environment, as AWS_SECRET_ACCESS_KEY")
    try:
        found: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(uri)
    except (ArrowInvalid, OSError) as error:
        raise SettingError(f"--storage '{uri}' cannot be opened ({error}): give a path or another URI") from None
    return found


def absolute_uri(uri: str) -> str:
    """Make a path absolute, so that it means the same from every folder; URIs stay as they are."""
    return uri if PLACE in uri else str(Path(uri).absolute())


def joined(uri: str, name: str) -> str:
    """The path or URI of a part of a storage."""
    if PLACE not in uri:
        return f"{uri}/{name}"
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))
