"""Scan of a dataset folder: its files by split, part and class, and the content of each file."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from bgbias.data.photographs import layout, listing
from bgbias.data.photographs.picture import UNREADABLE, read_picture, reason, stored
from bgbias.prepare.build.variants import Image

SAMPLED = 64
"""About how many rows and columns of a picture are looked at for its colours."""
FEW_LEVELS = 8
"""Of 255."""
REQUIRED_PARTS = (*layout.VARIANTS, layout.FG_MASK)
"""The variants, and the masks."""

Classes = dict[str, list[Path]]
"""By class, the files of one part in one split, sorted."""


@dataclass(frozen=True)
class Tree:
    """The files of a dataset folder.

    parts:     by split and part, those there are
    unexpected_files: what does not belong into a part's folders
    """

    root: Path
    parts: dict[str, dict[str, Classes]]
    unexpected_files: list[Path]

    def files(self) -> Iterator[Path]:
        """Every picture and mask."""
        for parts in self.parts.values():
            for classes in parts.values():
                for files in classes.values():
                    yield from files

    def name(self, path: Path) -> str:
        """Name of a file in reports: its path below the root."""
        return path.relative_to(self.root).as_posix()


def read_tree(root: Path) -> Tree:
    """List a dataset folder; hidden entries are passed over."""
    tree = Tree(root, {}, [])
    for split in layout.SPLITS:
        parts = {part: layout.split_folder(root, part, split) for part in (*REQUIRED_PARTS, layout.UNMASKED)}
        found = {part: _classes(tree, part, folder) for part, folder in parts.items() if folder.is_dir()}
        if found:
            tree.parts[split] = found
    return tree


def _classes(tree: Tree, part: str, folder: Path) -> Classes:
    endings = {".npy"} if part == layout.FG_MASK else layout.PICTURE_ENDINGS
    classes: Classes = {}
    tree.unexpected_files.extend(listing.files(folder))
    for entry in listing.class_folders(folder):
        classes[entry.name] = [file for file in listing.files(entry) if file.suffix.lower() in endings]
        tree.unexpected_files.extend(sorted(set(listing.entries(entry)) - set(classes[entry.name])))
    return classes


@dataclass(frozen=True)
class Seen:
    """The content of a file.

    size:   width and height in pixels as it is shown; None if `fault` gives the reason why they cannot be read
    turned: True if EXIF says that it is stored in another orientation than it is shown
    plain:  True if nearly all pixels have one colour
    digest: SHA-256 of its bytes
    """

    path: Path
    digest: str
    size: tuple[int, int] | None = None
    turned: bool = False
    plain: bool = False
    fault: str | None = None


def see(path: Path) -> Seen:
    """Decode a picture or a mask."""
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    try:
        if path.suffix.lower() == ".npy":
            return Seen(path, digest, _mask_size(data))
        with Pillow.open(io.BytesIO(data)) as opened:
            turned = stored(opened).turn is not None
        shown = read_picture(io.BytesIO(data))
    except UNREADABLE as error:
        return Seen(path, digest, fault=reason(error))
    return Seen(path, digest, shown.size, turned, is_plain(np.asarray(shown)))


def is_plain(image: Image) -> bool:
    """Return True if 9 of 10 pixels of a picture [H, W, 3] uint8 are within a few grey levels in every channel."""
    sample = image[:: max(1, len(image) // SAMPLED), :: max(1, image.shape[1] // SAMPLED)].reshape(-1, 3)
    low, high = np.percentile(sample, (5, 95), axis=0)
    return bool((high - low <= FEW_LEVELS).all())


def _mask_size(data: bytes) -> tuple[int, int]:
    mask = np.load(io.BytesIO(data), allow_pickle=False)
    if mask.ndim != 2:
        raise ValueError(f"a mask has two dimensions, but this has the shape {mask.shape}")
    if not mask.any():
        raise ValueError("the mask is empty")
    return mask.shape[1], mask.shape[0]
