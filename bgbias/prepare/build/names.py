"""Names of each source's files in a built folder.

A source keeps its own name where no other has it. Otherwise it is called `<class>-<name>`, and folders below the class
are joined with dashes too. Names that are too long to be joined in a mixed picture's are cut and end with a hash.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from bgbias.data.photographs import layout

NAME_BYTES = 255
"""Longest name of most file systems."""
JOINED = len(f"{layout.mixed_name('', '')}.JPEG.partial")
"""Bytes of a mixed picture's name beside its two sources', while it is written."""
HASH = 8


def longest_name(out: Path) -> int:
    """Largest number of bytes of a source's name, on the file system of `out`."""
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    try:
        most = os.pathconf(there, "PC_NAME_MAX")
    except (OSError, ValueError):
        most = NAME_BYTES
    return (most - JOINED) // 2


def flat(key: str) -> str:
    """The own name of `<class>/<folder>/.../<name>`, without its class."""
    return key.partition("/")[2].replace("/", "-")


def file_names(keys: Collection[str], longest: int) -> dict[str, str]:
    """By `<class>/<folder>/.../<name>`, a name of at most `longest` bytes for each, no two alike in any case."""
    times = Counter(flat(key).casefold() for key in keys)
    taken = {name for name, count in times.items() if count == 1}
    named: dict[str, str] = {}
    for key in sorted(keys):
        name = flat(key)
        if times[name.casefold()] > 1:
            name = f"{key.partition('/')[0].replace('_', '-')}-{name}"
            if name.casefold() in taken:
                name = _hashed(name, key, longest)
            taken.add(name.casefold())
        named[key] = _hashed(name, key, longest) if len(name.encode()) > longest else name
    return named


def _hashed(name: str, key: str, longest: int) -> str:
    digest = hashlib.sha256(key.encode()).hexdigest()[:HASH]
    return f"{name.encode()[: longest - HASH - 1].decode(errors='ignore')}-{digest}"


def is_clear(name: str) -> bool:
    """Return True if a name can be read back from a mixed picture's name, `fg_<name>_bg_<name>`."""
    return layout.source(name) == name and layout.mixed_sources(layout.mixed_name(name, name)) == (name, name)
