"""Pictures whose class and place a table names, with or without masks, as a dataset.

Every variant of a split shows its pictures. Without masks that is `original` alone: a picture is all object and stands
on its own background. With masks there are also

    mixed_same    the object on another picture's background, of the same place
    mixed_rand    on one of a random place
    only_fg       on black
    only_bg_t     the background alone

A background is the picture with its object's box filled by tiling (`bgbias.data.photographs.tiling`), and its place is
its picture's. Of pictures with and without masks, those without are in `original` and in the training set alone; a
picture whose mask shows no object, or no background, after it was cut counts as one without.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from bgbias.components import Seed, Share, component
from bgbias.data import assignment
from bgbias.data.dataset import ORIGINAL, Dataset, DatasetSpec, Variant
from bgbias.data.photographs.augmentation import Augmentation
from bgbias.data.photographs.bank import Bits, Bytes, Decode, File, bank_home, centre, open_bank, pack
from bgbias.data.photographs.layout import MIXED_RAND, MIXED_SAME, ONLY_BG_T, ONLY_FG
from bgbias.data.photographs.picture import read_picture, stored
from bgbias.data.photographs.stored import PIXEL, PackedMasks, StoredPictures
from bgbias.data.photographs.table import TEST, TRAIN, VALIDATION, Entry, PictureTable, faulty_pictures, mask_beside
from bgbias.data.photographs.tiling import background_of
from bgbias.data.split import stratified
from bgbias.errors import DataError
from bgbias.randomness import stream
from bgbias.types import NO_BACKGROUND, OWN_BACKGROUND, Backgrounds, Foregrounds

MAX_RATIO, FLIP = 4 / 3, 0.5
"""Of training crops: torchvision's default, and the chance of a mirrored picture."""
MARGIN = 256 / 224
"""Of `stretched`: pictures are scaled to this many times the size before their centre is cut out."""
BLACK, WHOLE = 0, 255
SPLIT_NAMES = {TRAIN: "training", VALIDATION: "validation", TEST: "test"}

Fit = Literal["centre", "stretched"]
Check = Callable[[Path, Sequence[str]], None]
"""Is given a folder and what is wrong with its files; raises where that may not be."""


@component
class GroupedPictures(DatasetSpec, ABC):
    """Pictures with labels and places, from a table.

    size: pixels, the side of all pictures; others are scaled and cut when they are decoded, once
    fit: `centre` scales the shorter side to `size` and cuts the centre out; `stretched` scales both sides to
        256/224 of `size` and cuts the centre out, which is how Waterbirds is evaluated
    masks: the folder of masks, from the data's folder: pictures (object where at least half of their
        brightest) or .npy, under the pictures' own folders and names. Where the default folder is missing there are no
        masks; `none` leaves them aside
    validation_share: in (0, 1), of the training pictures of each group, where there are no validation pictures
    faulty: `stop` at missing or unreadable pictures and masks, or `skip` these pictures
    min_scale: in (0, 1], the smallest share of a picture that a training crop keeps
    jitter: in [0, 1], how far brightness, contrast and saturation of training pictures move
    split_seed: of the validation cut and of all assignments
    """

    objectives: ClassVar[tuple[str, ...]] = (f"val/{ORIGINAL}/worst_group_accuracy",)
    model: ClassVar[str] = "timm"
    gaps: ClassVar[Mapping[str, tuple[str, str]]] = {"bg_gap": (MIXED_SAME, MIXED_RAND)}
    objectless: ClassVar[tuple[str, ...]] = (ONLY_BG_T,)
    default_masks: ClassVar[str] = "masks"

    size: Annotated[int, Field(ge=8)] = 224
    fit: Fit = "centre"
    masks: str | None = "masks"
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    faulty: Literal["stop", "skip"] = "stop"
    min_scale: Annotated[float, Field(gt=0, le=1)] = 0.7
    jitter: Share = 0.0
    split_seed: Seed = 0

    @abstractmethod
    def table(self, folder: Path) -> PictureTable:
        """The pictures of a folder.

        Raises:
            DataError: the folder or its table are not what they should be.
        """

    def files(self, table: PictureTable) -> Mapping[str, str]:
        """The SHA-256 of the files that say what the pictures are, by name."""
        return {}

    def mask_homes(self, table: PictureTable, folder: Path) -> Sequence[Path]:
        """The folders that the folder of masks may lie in."""
        return table.root, folder

    def load(self, folder: Path | None) -> Dataset:
        if folder is None:
            raise DataError(f"{self.name()} needs --data DIR, the folder of its pictures")
        table = self.with_masks(self.table(folder), folder)
        table = self._present(table)
        bank = PictureBank(table, self.size, self.fit, self._checked)
        splits = {split: [i for i, entry in enumerate(bank.entries) if entry.split == split] for split in SPLIT_NAMES}
        if splits[TRAIN] and not splits[VALIDATION]:
            splits[TRAIN], splits[VALIDATION] = self._held_out(bank.entries, splits[TRAIN])
        validation, test = (bank.variants(splits[split], self.split_seed) for split in (VALIDATION, TEST))
        names = [name for name in validation if name in test] if validation and test else [*validation, *test]
        train = bank.variant(splits[TRAIN])
        return Dataset(
            name=self.name(),
            classes=table.classes,
            places=table.places,
            gaps={gap: pair for gap, pair in self.gaps.items() if set(pair) <= set(names)},
            train=train,
            validation={name: validation[name] for name in names if name in validation},
            test={name: test[name] for name in names if name in test},
            augmentation=Augmentation(self.min_scale, MAX_RATIO, FLIP, self.jitter),
            source_names=tuple(entry.name for entry in bank.entries),
            test_background_names=bank.background_names(splits[TEST]),
            has_masks=len(train.backgrounds) > 0,
            home=bank.home,
            files=self.files(table),
        )

    def with_masks(self, table: PictureTable, folder: Path) -> PictureTable:
        """The table with the masks that lie in the folder of masks.

        Raises:
            DataError: the folder of masks is missing, though it was asked for, or holds no mask of the pictures.
        """
        if self.masks is None:
            return replace(table, entries=tuple(replace(entry, mask=None) for entry in table.entries))
        homes = [home / self.masks for home in self.mask_homes(table, folder)]
        home = next((home for home in homes if home.is_dir()), None)
        if home is None:
            if self.masks != self.default_masks:
                raise DataError(f"there is no folder of masks {homes[0]}: give another dataset/masks, or none")
            return table
        found = [entry if entry.mask else replace(entry, mask=mask_beside(home, entry.name)) for entry in table.entries]
        if not any(entry.mask for entry in found):
            raise DataError(
                f"{home} holds no mask of the {len(found)} pictures, such as {Path(found[0].name).with_suffix('.png')}"
                ": give another dataset/masks, or none"
            )
        return replace(table, entries=tuple(found))

    def _present(self, table: PictureTable) -> PictureTable:
        """The table without the pictures that are missing."""
        missing = [entry for entry in table.entries if not entry.path.is_file()]
        lost = [entry for entry in table.entries if entry.mask is not None and not entry.mask.is_file()]
        faults = [f"picture {entry.name} is missing" for entry in missing]
        faults += [f"mask {entry.mask} is missing" for entry in lost]
        self._checked(table.root, faults)
        return replace(table, entries=tuple(entry for entry in table.entries if entry not in {*missing, *lost}))

    def _checked(self, root: Path, faults: Sequence[str]) -> None:
        if faults and self.faulty == "stop":
            raise faulty_pictures(root, faults)

    def _held_out(self, entries: Sequence[Entry], train: Sequence[int]) -> tuple[list[int], list[int]]:
        """Training pictures divided into training and validation, by group."""
        group = [(entries[i].label, entries[i].place) for i in train]
        number = np.array([sorted(set(group)).index(item) for item in group])
        try:
            kept, held = stratified(number, self.validation_share, self.split_seed)
        except DataError as error:
            raise DataError(
                f"a share of {self.validation_share:g} of {len(train)} training pictures cannot be held out ({error}): "
                "set another dataset/validation_share, or name validation pictures in the table"
            ) from None
        return np.array(train)[kept].tolist(), np.array(train)[held].tolist()


class PictureBank:
    """A table's pictures, masks and backgrounds, decoded once.

    entries: those that can be read, with a mask where theirs can; home: the folder of the banks
    """

    def __init__(self, table: PictureTable, size: int, fit: Fit, check: Check) -> None:
        """Read the entries of every split.

        Args:
            check: is given the table's folder and what is wrong with files; raises where that may not be.

        Raises:
            DataError: as `check` does; or a split has no picture of some class.
        """
        self.home, self._size, self._places = bank_home(table.root), size, len(table.places)
        label = f"{fit}-{size}"
        files = [File(str(Path(entry.name).parent), Path(entry.name).stem, entry.path) for entry in table.entries]
        masked = [i for i, entry in enumerate(table.entries) if entry.mask is not None]
        mask_of = {table.entries[i].path: mask for i in masked if (mask := table.entries[i].mask) is not None}
        mask_files = [File(files[i].class_name, files[i].name, mask_of[files[i].path]) for i in masked]
        picture_of = {mask: picture for picture, mask in mask_of.items()}
        shape, packed = (size, size, PIXEL), (size, -(-size // 8))
        self._pictures = open_bank(self.home, f"pictures-{label}", files, decode_picture(size, fit), shape, BLACK)
        self._masks = open_bank(
            self.home, f"masks-{label}", mask_files, decode_mask(size, fit, picture_of), packed, WHOLE
        )
        self._tiles = open_bank(
            self.home,
            f"backgrounds-{label}",
            [files[i] for i in masked],
            decode_background(size, fit, mask_of),
            shape,
            BLACK,
            beside=mask_files,
        )
        faults = [f"picture {files[row].path} cannot be read ({why})" for row, why in self._pictures.faults.items()]
        faults += [f"mask {mask_files[row].path} cannot be used ({why})" for row, why in self._masks.faults.items()]
        check(table.root, sorted(faults))
        useful = parted(self._masks.rows, size)
        mask_row = {i: row for row, i in enumerate(masked) if row not in self._masks.faults and useful[row]}
        self._row = [i for i in range(len(files)) if i not in self._pictures.faults]
        self._mask_row = [mask_row.get(i, NO_BACKGROUND) for i in self._row]
        self.entries = [table.entries[i] for i in self._row]
        check_classes(table, self.entries)

    def variant(self, index: Sequence[int]) -> Variant:
        """The pictures at `index` as they are, those with masks first."""
        return self._variant(self._masked_first(index))

    def variants(self, index: Sequence[int], seed: int) -> dict[str, Variant]:
        """All variants of the pictures at `index`, made from these alone; none of no pictures."""
        if not index:
            return {}
        plain = self.variant(index)
        n = len(plain.backgrounds)
        if not n:
            return {ORIGINAL: plain}
        masked, place = plain.at(torch.arange(n)), plain.backgrounds.place
        tiles = replace(masked.foregrounds, image=plain.backgrounds.image.at(torch.arange(n)))  # type: ignore[union-attr]
        same = assignment.of_class(masked.foregrounds.place, place, stream(seed, MIXED_SAME))
        return {
            ORIGINAL: plain,
            MIXED_SAME: masked.assigned(same),
            MIXED_RAND: masked.assigned(assignment.of_random_class(n, place, stream(seed, MIXED_RAND))),
            ONLY_FG: masked.assigned(assignment.none(n)),
            ONLY_BG_T: replace(masked, foregrounds=tiles),
        }

    def background_names(self, index: Sequence[int]) -> tuple[str, ...]:
        """The names of the pictures whose backgrounds the variants of `index` have."""
        return tuple(self.entries[i].name for i in self._masked_first(index) if self._mask_row[i] >= 0)

    def _masked_first(self, index: Sequence[int]) -> list[int]:
        return sorted(index, key=lambda i: (self._mask_row[i] < 0, i))

    def _variant(self, index: Sequence[int]) -> Variant:
        entries, mask_row = [self.entries[i] for i in index], tensor([self._mask_row[i] for i in index])
        label, place = (tensor([getattr(entry, what) for entry in entries]) for what in ("label", "place"))
        pictures, tiles = self._pictures.rows, self._tiles.rows
        has_tile = mask_row[mask_row >= 0]
        front = Foregrounds(
            image=StoredPictures(pictures, tensor([self._row[i] for i in index])),
            mask=PackedMasks(self._masks.rows, mask_row.remainder(len(self._masks.rows)), self._size),
            label=label,
            source=tensor(list(index)),
            place=place,
        )
        rows = torch.cat([has_tile, tensor([len(tiles) - 1])])
        back = Backgrounds(StoredPictures(tiles, rows), place[: len(has_tile)], self._places)
        return Variant(front, back, torch.full((len(index),), OWN_BACKGROUND))


def tensor(numbers: Sequence[int]) -> Tensor:
    """Whole numbers as int64."""
    return torch.tensor(numbers, dtype=torch.int64)


def check_classes(table: PictureTable, entries: Sequence[Entry]) -> None:
    """Check that there are pictures to train and to test on, of every class.

    Raises:
        DataError: there is no picture to train or to test on, or training pictures lack a class.
    """
    seen = {entry.label for entry in entries if entry.split == TRAIN}
    lacking = [name for number, name in enumerate(table.classes) if number not in seen]
    if seen and lacking:
        raise DataError(
            f"no training picture in {table.root} is of class '{lacking[0]}': name one, or leave the class out"
        )
    if not any(entry.split == TEST for entry in entries):
        raise DataError(f"{table.root} has no test picture: name some, split 2 or test")


def framed(picture: Image.Image, size: int, fit: Fit, resampling: Image.Resampling) -> Image.Image:
    """A picture as `GroupedPictures.fit` has it, size x size pixels."""
    if fit == "stretched":
        side = round(MARGIN * size)
        picture = picture.resize((side, side), resampling)
        left = (side - size) // 2
        return picture.crop((left, left, left + size, left + size))
    return centre(picture, size, resampling)


def decode_picture(size: int, fit: Fit) -> Decode:
    """A decoder of colour pictures to [size, size, 4] uint8."""

    def decode(path: Path) -> Bytes:
        return pixels(np.asarray(framed(read_picture(path), size, fit, Image.Resampling.BICUBIC)))

    return decode


def decode_mask(size: int, fit: Fit, picture_of: Mapping[Path, Path]) -> Decode:
    """A decoder of masks to packed bits [size, ceil(size / 8)].

    Args:
        picture_of: by a mask's file, that of its picture.
    """

    def decode(path: Path) -> Bytes:
        return pack(Image.fromarray(read_mask(path, picture_of[path], size, fit)))

    return decode


def decode_background(size: int, fit: Fit, mask_of: Mapping[Path, Path]) -> Decode:
    """A decoder of pictures to their backgrounds without the object, [size, size, 4] uint8.

    Args:
        mask_of: by a picture's file, that of its mask.
    """

    def decode(path: Path) -> Bytes:
        image = np.asarray(framed(read_picture(path), size, fit, Image.Resampling.BICUBIC))
        mask = read_mask(mask_of[path], path, size, fit)
        return pixels(background_of(image, mask) if mask.any() and not mask.all() else image)

    return decode


def pixels(image: Bytes) -> Bytes:
    """[H, W, 3] uint8 with an empty fourth channel."""
    return np.pad(image, ((0, 0), (0, 0), (0, PIXEL - image.shape[2])))


class MaskShapeError(ValueError):
    """A mask that has another shape than its picture."""


def read_mask(path: Path, picture: Path, size: int, fit: Fit) -> Bits:
    """Read a mask, .npy or a picture, turned and cut like its picture: [size, size] bool.

    Raises:
        As `shown_mask`.
    """
    shown = shown_mask(path, picture)
    return np.asarray(framed(Image.fromarray(shown.astype(np.uint8) * 255), size, fit, Image.Resampling.NEAREST)) > 0


def shown_mask(path: Path, picture: Path) -> Bits:
    """Read a mask, .npy or a picture, turned as its picture is shown: [H, W] bool.

    It is True where the value is at least half of its highest one.

    Raises:
        MaskShapeError: it has another shape than its picture.
        One of `UNREADABLE`: it cannot be read.
    """
    if path.suffix.lower() == ".npy":
        values = np.load(path, allow_pickle=False)
    else:
        with Image.open(path) as opened:
            values = np.asarray(opened.convert("L"))
    mask = 2 * values.astype(np.float32) >= max(float(values.max()), np.finfo(np.float32).tiny)
    with Image.open(picture) as opened:
        kept = stored(opened)
    shown = kept.mask_as_shown(mask) if mask.ndim == 2 else None
    if shown is None:
        raise MaskShapeError(f"it has the shape {' x '.join(map(str, values.shape))}, but its picture is {kept.shown}")
    return shown


def parted(rows: Tensor, size: int) -> list[bool]:
    """Check for each of packed masks [R, size, ceil(size / 8)] that it has both object and background pixels."""
    count = [int(np.unpackbits(row.numpy(), axis=-1)[:, :size].sum()) for row in rows]
    return [0 < pixels < size**2 for pixels in count]
