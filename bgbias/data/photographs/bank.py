"""Banks: pictures and masks decoded once into one file that every process of a machine maps and shares.

A bank is a folder that appears whole or not at all: it is built under another name and renamed. Its name holds a
fingerprint of the files it was made from, so that a change among them makes another bank.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor

from bgbias.data.photographs import listing
from bgbias.data.photographs.picture import UNREADABLE, read_picture, reason, stored
from bgbias.files import require_room
from bgbias.progress import track

VERSION = 3
"""Of how files are decoded: banks of another version are decoded again."""
ROWS, DESCRIPTION = "rows.u8", "bank.json"

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Bits = np.ndarray[Any, np.dtype[np.bool_]]
Decode = Callable[[Path], Bytes]


@dataclass(frozen=True)
class File:
    """One file of a bank: its class folder's name, its own without ending, and where it lies."""

    class_name: str
    name: str
    path: Path


@dataclass(frozen=True)
class Bank:
    """The decoded rows of some files.

    rows:   [N + 1, ...] uint8, one row per file in the given order, then the extra row
    faults: by row, why its file cannot be read; these rows hold zeros
    """

    rows: Tensor
    faults: dict[int, str]


def list_files(folder: Path, endings: frozenset[str]) -> list[File]:
    """The files of a folder of class folders, by class and name, sorted."""
    return [
        File(part.name, file.stem, file)
        for part in listing.class_folders(folder)
        for file in listing.files(part)
        if file.suffix.lower() in endings
    ]


def open_bank(
    home: Path,
    label: str,
    files: Sequence[File],
    decode: Decode,
    shape: tuple[int, ...],
    last: int,
    beside: Sequence[File] = (),
) -> Bank:
    """The bank of these files: mapped if it is there, else built, by whichever process comes first.

    Args:
        home: folder that holds all banks.
        label: what the bank holds; another bank of this label is out of date and removed after a build.
        decode: a file to an array of `shape`, uint8; may raise what `UNREADABLE` lists.
        last: in 0..255, fills the extra row at the end.
        beside: further files that rows are made from.
    """
    folder = home / f"{label}-{fingerprint([*files, *beside], shape, last)}"
    if not folder.is_dir():
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / f"{label}.lock"):
            if not folder.is_dir():
                _build(folder, files, decode, shape, last)
                _remove_others(folder, label)
    described = json.loads((folder / DESCRIPTION).read_text())
    mapped = np.memmap(folder / ROWS, dtype=np.uint8, mode="c", shape=(len(files) + 1, *shape))
    faults = {int(row): reason for row, reason in described["faults"].items()}
    return Bank(torch.from_numpy(mapped), faults)


def fingerprint(files: Sequence[File], shape: tuple[int, ...], last: int) -> str:
    """Identify a bank: every file's class, name, size and time of change, and how rows are made."""
    digest = hashlib.sha256(repr((VERSION, shape, last)).encode())
    for file in files:
        found = file.path.stat()
        digest.update(f"{file.class_name}/{file.path.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def bank_home(root: Path) -> Path:
    """Folder of a dataset's banks: inside the dataset's folder, or in the user's cache if that is read-only."""
    if os.access(root, os.W_OK):
        return root / ".banks"
    return Path.home() / ".cache" / "bgbias" / "banks" / hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]


def _build(folder: Path, files: Sequence[File], decode: Decode, shape: tuple[int, ...], last: int) -> None:
    unfinished = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    need = (len(files) + 1) * int(np.prod(shape))
    require_room(folder.parent, need, f"decoding {len(files):,} pictures", "choose a smaller size")
    rows = np.memmap(unfinished / ROWS, dtype=np.uint8, mode="w+", shape=(len(files) + 1, *shape))
    rows[-1] = last
    faults: dict[int, str] = {}

    def fill(row: int) -> None:
        try:
            rows[row] = decode(files[row].path)
        except UNREADABLE as error:
            faults[row] = reason(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in track(pool.map(fill, range(len(files))), f"decoding {folder.name.rpartition('-')[0]}", len(files)):
            pass
    rows.flush()
    described = {"faults": faults, "files": [{**asdict(file), "path": str(file.path)} for file in files]}
    (unfinished / DESCRIPTION).write_text(json.dumps(described))
    unfinished.rename(folder)


def _remove_others(folder: Path, label: str) -> None:
    for other in folder.parent.glob(f"{label}-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def decode_picture(size: int) -> Decode:
    """A decoder of colour pictures to [size, size, 4]: the shorter side scaled to `size`, the centre cut out."""

    def decode(path: Path) -> Bytes:
        picture = centre(read_picture(path), size, Image.Resampling.BICUBIC)
        row: Bytes = np.zeros((size, size, 4), dtype=np.uint8)
        row[..., :3] = np.asarray(picture)
        return row

    return decode


def decode_mask(size: int, picture_of: Mapping[Path, Path]) -> Decode:
    """A decoder of .npy masks [H, W] to packed bits [size, ceil(size / 8)], turned and cut as the pictures are.

    Args:
        picture_of: by a mask's file, that of its picture.
    """

    def decode(path: Path) -> Bytes:
        mask = np.load(path, allow_pickle=False)
        if mask.ndim != 2:
            raise ValueError(f"a mask has two dimensions, but this has the shape {mask.shape}")
        mask = turned_with(mask.astype(bool), picture_of.get(path))
        return pack(centre(Image.fromarray(mask), size, Image.Resampling.NEAREST))

    return decode


def turned_with(mask: Bits, picture: Path | None) -> Bits:
    """A mask [H, W] bool as its picture is shown; unchanged where that is missing, unreadable or of another size."""
    if picture is None:
        return mask
    try:
        with Image.open(picture) as opened:
            found = stored(opened).mask_as_shown(mask)
    except UNREADABLE:
        return mask
    return mask if found is None else found


def pack(mask: Image.Image) -> Bytes:
    """A mask picture as bits, eight pixels a byte, along its rows."""
    return np.packbits(np.asarray(mask).astype(bool), axis=-1)


def centre(picture: Image.Image, size: int, resampling: Image.Resampling) -> Image.Image:
    """The shorter side scaled to `size` pixels, the size x size centre cut out; a picture that fits stays as it is."""
    width, height = picture.size
    if min(width, height) != size:
        scale = size / min(width, height)
        width, height = max(size, round(width * scale)), max(size, round(height * scale))
        picture = picture.resize((width, height), resampling)
    left, top = (width - size) // 2, (height - size) // 2
    return picture.crop((left, top, left + size, top + size))
