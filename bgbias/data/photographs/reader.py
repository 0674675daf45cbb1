"""Photographs with masks as foregrounds, backgrounds and assignments: the splits of an ImageNet-9 folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bgbias.data.photographs import layout, listing
from bgbias.data.photographs.bank import (
    Bytes,
    Decode,
    File,
    bank_home,
    centre,
    decode_mask,
    decode_picture,
    list_files,
    open_bank,
    pack,
)
from bgbias.data.photographs.picture import read_picture
from bgbias.data.photographs.stored import PIXEL, PackedMasks, StoredPictures
from bgbias.data.photographs.table import faulty_pictures
from bgbias.errors import DataError
from bgbias.types import NO_BACKGROUND, Backgrounds, Foregrounds

BLACK, WHOLE = 0, 255
"""Values of the extra row of a bank: no picture, or a mask that is all foreground."""
JPEG_NOISE = 12
"""Out of 255; an only_fg picture is darker than this beside its object."""
MASK_ENDINGS = frozenset({".npy"})


@dataclass(frozen=True)
class DecodedFolder:
    """One folder of pictures or masks, decoded.

    storage: [R + 1, ...] uint8, its last row the extra one
    row:     by `<class>/<name>`, which row each has; a file that is unreadable is left out
    label:   the class of each
    """

    storage: Tensor
    row: dict[str, int]
    label: dict[str, int]

    def rows(self, names: list[str]) -> Tensor:
        """[n] int64."""
        return torch.tensor([self.row[name] for name in names], dtype=torch.int64)

    def labels(self, names: list[str]) -> Tensor:
        """[n] int64."""
        return torch.tensor([self.label[name] for name in names], dtype=torch.int64)


@dataclass(frozen=True)
class PhotoSplit:
    """N photographs of one split, of which the first T have a mask and a tile of their own.

    names: of the source pictures, `<class>/<name>`
    image, mask: [N]; label, source: [N] int64; the mask of the others is all foreground
    tile:  [T + 1], only_bg_t of the first T sources, then black
    places: how many classes of background there are
    """

    names: tuple[str, ...]
    image: StoredPictures
    mask: PackedMasks
    label: Tensor
    source: Tensor
    tile: StoredPictures
    places: int

    def __len__(self) -> int:
        return len(self.names)

    @property
    def masked(self) -> int:
        """T, how many have a mask and a tile."""
        return len(self.tile) - 1

    @property
    def fronts(self) -> Foregrounds:
        return Foregrounds(self.image, self.mask, self.label, self.source, place=self.label)

    @property
    def tiles(self) -> Backgrounds:
        return Backgrounds(self.tile, self.label[: self.masked], self.places)

    def at(self, index: Tensor) -> "PhotoSplit":
        """The photographs at `index` ([n] int64, rising), and their tiles alone."""
        return PhotoSplit(
            names=tuple(self.names[i] for i in index.tolist()),
            image=self.image.at(index),
            mask=self.mask.at(index),
            label=self.label[index],
            source=self.source[index],
            tile=self.tile.at(torch.cat([index[index < self.masked], torch.tensor([NO_BACKGROUND])])),
            places=self.places,
        )


class Reader:
    """Reads the splits of a dataset folder, and keeps account of what is missing or unreadable.

    root: the dataset's folder; size: pixels, the side of all pictures
    classes: the names of its class folders, sorted; faults: what was found missing or unreadable
    """

    def __init__(self, root: Path, size: int) -> None:
        self.root, self.size = root, size
        self.classes = class_names(root)
        self.faults: list[str] = []
        self._sources: dict[str, int] = {}
        self._decoded: dict[str, DecodedFolder] = {}

    def photographs(self, split: str, extra: str | None = None) -> PhotoSplit:
        """The originals of a split that have a mask and a tile, then those of `unmasked` and of another folder.

        Raises:
            DataError: a class has no picture here, or the folder `extra` adds none.
        """
        own = self._files(layout.ORIGINAL, split)
        others = self._files(layout.UNMASKED, split)
        others += self._others([*own, *others], extra, split) if extra else []
        label = f"{layout.ORIGINAL}-{split}-{self.size}"
        originals = self._decoded_pictures(f"{extra}-{label}" if extra else label, [*own, *others])
        tiles, masks = self.pictures(layout.ONLY_BG_T, split), self.masks(split)
        wanted = [key for key in map(key_of, own) if key in originals.row]
        for what, decoded in ((layout.ONLY_BG_T, tiles), (layout.FG_MASK, masks)):
            missing = [name for name in wanted if name not in decoded.row]
            self.faults += [f"{split} picture {name} has no readable {what}" for name in missing]
        paired = [name for name in wanted if name in tiles.row and name in masks.row]
        self._check_classes(split, originals.labels(paired))
        unmasked = [key for key in map(key_of, others) if key in originals.row]
        names = [*paired, *unmasked]
        whole = torch.full((len(unmasked),), len(masks.storage) - 1)
        black = torch.tensor([len(tiles.storage) - 1])
        return PhotoSplit(
            names=tuple(names),
            image=StoredPictures(originals.storage, originals.rows(names)),
            mask=PackedMasks(masks.storage, torch.cat([masks.rows(paired), whole]), self.size),
            label=originals.labels(names),
            source=self._numbers(names),
            tile=StoredPictures(tiles.storage, torch.cat([tiles.rows(paired), black])),
            places=len(self.classes),
        )

    def pictures(self, variant: str, split: str) -> DecodedFolder:
        """All pictures of a variant, by class and name of their source; mixed ones by that of their file."""
        return self._decoded_pictures(f"{variant}-{split}-{self.size}", self._files(variant, split))

    def masks(self, split: str) -> DecodedFolder:
        """All masks of a split, by source: as given, or where none are, what only_fg shows."""
        files = list_files(layout.split_folder(self.root, layout.FG_MASK, split), MASK_ENDINGS)
        pictures = {key_of(file): file.path for file in self._files(layout.ORIGINAL, split)}
        partners = {file.path: pictures[key_of(file)] for file in files if key_of(file) in pictures}
        decode = decode_mask(self.size, partners)
        if not files:
            files = self._files(layout.ONLY_FG, split)
            decode = decode_only_fg(self.size)
        shape = (self.size, -(-self.size // 8))
        return self._decode(f"{layout.FG_MASK}-{split}-{self.size}", files, decode, shape, WHOLE)

    def _files(self, variant: str, split: str) -> list[File]:
        return list_files(layout.split_folder(self.root, variant, split), layout.PICTURE_ENDINGS)

    def _others(self, own: list[File], extra: str, split: str) -> list[File]:
        known = {key_of(file) for file in own}
        others = [file for file in self._files(extra, split) if key_of(file) not in known]
        if not others:
            folder = layout.split_folder(self.root, extra, split)
            raise DataError(f"{folder} adds no picture to {layout.ORIGINAL}: leave dataset/extra out")
        return others

    def _check_classes(self, split: str, label: Tensor) -> None:
        empty = [
            name for name, n in zip(self.classes, label.bincount(minlength=len(self.classes)), strict=True) if not n
        ]
        if empty:
            folder = layout.split_folder(self.root, layout.ORIGINAL, split)
            why = f" ({self.faults[0]})" if self.faults else ""
            raise DataError(
                f"{folder} has no picture of {', '.join(empty)} with a mask and a background{why}: add some, "
                "or remove the class"
            )

    def _numbers(self, names: list[str]) -> Tensor:
        return torch.tensor([self._sources.setdefault(name, len(self._sources)) for name in names], dtype=torch.int64)

    def _decoded_pictures(self, label: str, files: list[File]) -> DecodedFolder:
        return self._decode(label, files, decode_picture(self.size), (self.size, self.size, PIXEL), BLACK)

    def _decode(
        self, label: str, files: list[File], decode: Decode, shape: tuple[int, ...], last: int
    ) -> DecodedFolder:
        if label in self._decoded:
            return self._decoded[label]
        bank = open_bank(bank_home(self.root), label, files, decode, shape, last)
        self.faults += [f"{files[row].path} cannot be read ({reason})" for row, reason in sorted(bank.faults.items())]
        row_of: dict[str, int] = {}
        for row, file in enumerate(files):
            if key_of(file) in row_of:
                self.faults.append(f"{file.path} has the name of another picture of its class")
            elif file.class_name not in self.classes:
                self.faults.append(f"{file.path} is of no class that the originals have")
            elif row not in bank.faults:
                row_of[key_of(file)] = row
        label_of = {name: self.classes.index(files[row].class_name) for name, row in row_of.items()}
        self._decoded[label] = DecodedFolder(bank.rows, row_of, label_of)
        return self._decoded[label]

    @property
    def source_names(self) -> tuple[str, ...]:
        """Name of each source, `<class>/<name>`, by its number."""
        return tuple(self._sources)

    def check(self, skip: bool) -> None:
        """Report what was found missing or unreadable.

        Raises:
            DataError: something is missing or unreadable, unless it may be skipped.
        """
        if self.faults and not skip:
            raise faulty_pictures(self.root, self.faults)


def key_of(file: File) -> str:
    """Key of a file in its part of the folder: `<class>/<source>`, or `<class>/<name>` for a mixed picture."""
    return f"{file.class_name}/{file.name if layout.mixed_sources(file.name) else layout.source(file.name)}"


def class_names(root: Path) -> tuple[str, ...]:
    """The class folders of the training originals, or of the released ones, sorted.

    Raises:
        DataError: there are none.
    """
    for split in (layout.TRAIN, layout.TEST):
        folder = layout.split_folder(root, layout.ORIGINAL, split)
        if found := listing.class_folders(folder):
            return tuple(part.name for part in found)
    raise DataError(
        f"{root} holds neither {layout.ORIGINAL}/{layout.TRAIN}/<class> nor {layout.RELEASE}/{layout.ORIGINAL}/"
        f"{layout.VAL}/<class>: give the folder that `study data build` or `study data fetch` wrote"
    )


def decode_only_fg(size: int) -> Decode:
    """A decoder of only_fg pictures to their masks, packed: what is brighter than noise, without holes or specks."""
    from scipy import ndimage

    def decode(path: Path) -> Bytes:
        picture = np.asarray(centre(read_picture(path), size, Image.Resampling.BICUBIC))
        bright = ndimage.binary_opening(picture.max(axis=-1) > JPEG_NOISE)
        return pack(Image.fromarray(ndimage.binary_fill_holes(bright)))

    return decode
