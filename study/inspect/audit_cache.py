"""The folders of built variants that audits keep, and which of them are deleted.

A folder is deleted only if an audit made it (it has the file `MARKER`), nothing else lies in it, and no audit used it
in the last `RECENT` seconds:

- one whose pictures or masks have changed since, or that another version built: no audit finds it again
- then those that were unused for longest, until all together take no more than the limit
"""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bgbias.data.photographs import listing
from bgbias.prepare.build.folder import CHECKSUMS, MANIFEST, PARTS, RECORDS, UNFINISHED

MARKER = ".made-by-study-audit"
"""Its time of change is when the folder was last used."""
RECENT = 3600.0
KNOWN = frozenset({*PARTS, *RECORDS, MANIFEST, CHECKSUMS})


def mark(folder: Path) -> None:
    """Note that an audit made or used a folder, if it is there."""
    if folder.is_dir():
        (folder / MARKER).touch()


def prune(cache: Path, kept: Path, limit: int) -> dict[Path, int]:
    """Delete what no audit finds again, and what is over the limit; nothing after an audit of another folder.

    Args:
        kept: the folder that was audited, which stays.
        limit: bytes that all folders may take.

    Returns:
        By deleted folder, the bytes that it took.
    """
    marked = [file.parent for file in cache.glob(f"*/{MARKER}")]
    if kept not in marked:
        return {}
    size = {folder: size_of(folder) for folder in marked}
    newest_first = sorted((folder for folder in marked if folder != kept), key=last_used, reverse=True)
    own, total = head(kept), size[kept]
    deleted: dict[Path, int] = {}
    for folder in newest_first:
        total += size[folder]
        if (total > limit or is_outdated(head(folder), own)) and delete(folder):
            deleted[folder] = size[folder]
            total -= size[folder]
    return deleted


def size_of(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def last_used(folder: Path) -> float:
    """Time of the last use of a folder by an audit, in seconds since 1970."""
    return (folder / MARKER).stat().st_mtime


def head(folder: Path) -> dict[str, Any]:
    """Read the settings of a folder's build; empty if they cannot be read."""
    for file, of in ((folder / MANIFEST, "build"), (folder / UNFINISHED / "head.json", None)):
        try:
            found = json.loads(file.read_bytes())
            return dict(found[of] if of else found)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return {}


def is_outdated(other: dict[str, Any], own: dict[str, Any]) -> bool:
    """Return True if a build is of another version, or an older build with the same settings as this one."""
    return other.get("versions") != own.get("versions") or other.get("settings") == own.get("settings")


def delete(folder: Path) -> bool:
    """Delete a folder unless it is in use or holds files of others; return True if it was deleted."""
    if time.time() - last_used(folder) < RECENT or any(entry.name not in KNOWN for entry in listing.entries(folder)):
        return False
    with unused(folder) as is_free:
        if is_free:
            shutil.rmtree(folder, ignore_errors=True)
        return is_free


@contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Yield True if no process builds in a folder; until the block ends, none can begin."""
    if not (folder / UNFINISHED).is_dir():
        yield True
        return
    try:
        with FileLock(folder / UNFINISHED / "lock", timeout=0):
            yield True
    except Timeout:
        yield False
