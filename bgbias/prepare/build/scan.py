"""What lies in a dataset folder: its files by split, part and class, and what each file holds."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from bgbias.data.photographs import layout
from bgbias.data.photographs.bank import UNREADABLE

PARTS = (*layout.VARIANTS, layout.FG_MASK)
"""The variants, and the masks."""

Classes = dict[str, list[Path]]
"""By class, the files of one part in one split, sorted."""


@dataclass(frozen=True)
class Tree:
    """The files of a dataset folder.

    parts:     by split and part, those there are
    strangers: what does not belong into a part's folders
    """

    root: Path
    parts: dict[str, dict[str, Classes]]
    strangers: list[Path]

    def files(self) -> Iterator[Path]:
        """Every picture and mask."""
        for parts in self.parts.values():
            for classes in parts.values():
                for files in classes.values():
                    yield from files

    def name(self, path: Path) -> str:
        """How a file is called in reports: its path below the root."""
        return path.relative_to(self.root).as_posix()


def read_tree(root: Path) -> Tree:
    """List a dataset folder; hidden entries are passed over."""
    tree = Tree(root, {}, [])
    for split in layout.SPLITS:
        parts = {part: layout.split_folder(root, part, split) for part in PARTS}
        found = {part: _classes(tree, part, folder) for part, folder in parts.items() if folder.is_dir()}
        if found:
            tree.parts[split] = found
    return tree


def _classes(tree: Tree, part: str, folder: Path) -> Classes:
    endings = {".npy"} if part == layout.FG_MASK else layout.PICTURE_ENDINGS
    classes: Classes = {}
    for entry in _visible(folder):
        if not entry.is_dir():
            tree.strangers.append(entry)
            continue
        files = _visible(entry)
        classes[entry.name] = [file for file in files if file.is_file() and file.suffix.lower() in endings]
        tree.strangers.extend(sorted(set(files) - set(classes[entry.name])))
    return classes


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


@dataclass(frozen=True)
class Seen:
    """What a file holds.

    size:   width and height in pixels, or None where `fault` says why there are none
    digest: SHA-256 of its bytes
    """

    path: Path
    size: tuple[int, int] | None
    fault: str | None
    digest: str


def see(path: Path) -> Seen:
    """Decode a picture or a mask."""
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    try:
        size = _mask_size(data) if path.suffix == ".npy" else _picture_size(data)
    except (*UNREADABLE, EOFError) as error:
        return Seen(path, None, str(error).partition(" <")[0], digest)
    return Seen(path, size, None, digest)


def _picture_size(data: bytes) -> tuple[int, int]:
    with Pillow.open(io.BytesIO(data)) as picture:
        picture.load()
        return picture.size


def _mask_size(data: bytes) -> tuple[int, int]:
    mask = np.load(io.BytesIO(data), allow_pickle=False)
    if mask.ndim != 2:
        raise ValueError(f"a mask has two dimensions, but this has the shape {mask.shape}")
    if not mask.any():
        raise ValueError("the mask is empty")
    return mask.shape[1], mask.shape[0]
