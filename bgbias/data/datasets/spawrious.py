"""Spawrious: four breeds of dogs generated in six places, which predict the breed in training and change in test.

Format: `spawrious224/{0,1}/<place>/<breed>/<place>_<breed>_<n>.png`, 3,168 pictures of 224 x 224 pixels a cell. The six
splits are as in the authors' code: in `o2o` a breed has one place in both training environments (97 % of the cell of
folder 0, 87 % of that of folder 1) and shares a filler place with the others for the rest; in `m2m` two breeds share
two places, from folder 0 alone. m2m_hard differs in the paper's table. The code takes the first pictures of an unsorted
listing, so that its training set differs between file systems; here the listing is sorted. There is no validation
split: a share of the training pictures of each group is held out. There are no masks.
Known fault: 1/beach/labrador/beach_labrador_450.png is of another size in the release.
Source: A. Lynch et al., "Spawrious: A Benchmark for Fine Control of Spurious Correlation Biases", 2023
(arXiv 2303.05470), https://github.com/aengusl/spawrious. CC BY 4.0.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from PIL import Image

from bgbias.components import Count, component
from bgbias.data.photographs import listing
from bgbias.data.photographs.grouped import GroupedPictures
from bgbias.data.photographs.layout import PICTURE_ENDINGS
from bgbias.data.photographs.picture import UNREADABLE
from bgbias.data.photographs.table import TEST, TRAIN, Entry, PictureTable
from bgbias.errors import DataError

FOLDER = "spawrious224"
CLASSES = ("bulldog", "corgi", "dachshund", "labrador")
PLACES = ("beach", "desert", "dirt", "jungle", "mountain", "snow")
BREEDS = ("bulldog", "dachshund", "labrador", "corgi")
"""In the order of the places in `ARRANGEMENTS`."""
SHARES = (0.97, 0.87)
"""Of a cell's pictures on a breed's own place, in each environment of `o2o`."""
BROKEN = "1/beach/labrador/beach_labrador_450.png"


class Arrangement(NamedTuple):
    """The places of the four breeds in training and in test, and the filler of `o2o`."""

    train: tuple[str, str, str, str]
    test: tuple[str, str, str, str]
    filler: str | None


ARRANGEMENTS = {
    "o2o_easy": Arrangement(("desert", "jungle", "dirt", "snow"), ("dirt", "snow", "desert", "jungle"), "beach"),
    "o2o_medium": Arrangement(("mountain", "beach", "dirt", "jungle"), ("jungle", "dirt", "beach", "snow"), "desert"),
    "o2o_hard": Arrangement(
        ("jungle", "mountain", "snow", "desert"), ("mountain", "snow", "desert", "jungle"), "beach"
    ),
    "m2m_easy": Arrangement(("desert", "mountain", "dirt", "jungle"), ("dirt", "jungle", "mountain", "desert"), None),
    "m2m_medium": Arrangement(("beach", "snow", "mountain", "desert"), ("desert", "mountain", "beach", "snow"), None),
    "m2m_hard": Arrangement(("dirt", "jungle", "snow", "beach"), ("snow", "beach", "dirt", "jungle"), None),
}


class Part(NamedTuple):
    """The `first` pictures of a folder, or all for None."""

    folder: int
    place: str
    breed: str
    split: int
    first: int | None


@component
class Spawrious(GroupedPictures):
    """Spawrious: dog breeds on places.

    benchmark: o2o_easy, o2o_medium, o2o_hard, m2m_easy, m2m_medium or m2m_hard
    cell: >= 1, the pictures of a breed on a place that the shares are taken of; 3,168 in the release

    The other options are those of `bgbias.data.photographs.grouped.GroupedPictures`.
    """

    gaps: ClassVar[Mapping[str, tuple[str, str]]] = {}
    objectless: ClassVar[tuple[str, ...]] = ()

    benchmark: Literal["o2o_easy", "o2o_medium", "o2o_hard", "m2m_easy", "m2m_medium", "m2m_hard"] = "o2o_easy"
    cell: Count = 3168

    def table(self, folder: Path) -> PictureTable:
        root = folder if folder.name == FOLDER else folder / FOLDER
        if not root.is_dir():
            raise DataError(f"{folder} holds no {FOLDER}: give the folder that the release was unpacked in")
        parts = list(parts_of(ARRANGEMENTS[self.benchmark], self.cell))
        entries = tuple(entry for part in parts for entry in self._entries(root, part))
        self._checked(root, [fault for entry in entries if (fault := known_fault(entry))])
        return PictureTable(root, CLASSES, PLACES, tuple(entry for entry in entries if known_fault(entry) is None))

    def _entries(self, root: Path, part: Part) -> Iterator[Entry]:
        name = f"{part.folder}/{part.place}/{part.breed}"
        files = [file for file in listing.files(root / name) if file.suffix.lower() in PICTURE_ENDINGS]
        need = part.first or 1
        if len(files) < need:
            raise DataError(
                f"{root / name} holds {len(files)} pictures, but {self.benchmark} needs {need} of it: unpack the whole "
                "release, or set dataset/cell to the pictures of each breed and place"
            )
        label, place = CLASSES.index(part.breed), PLACES.index(part.place)
        for file in files[: part.first]:
            yield Entry(f"{name}/{file.name}", file, label, place, part.split)


def parts_of(arranged: Arrangement, cell: int) -> Iterator[Part]:
    """List the parts of a benchmark's training and test sets, with up to `cell` pictures of each training part."""
    for number, breed in enumerate(BREEDS):
        other = number ^ 1  # the other breed of the pair
        for environment, share in enumerate(SHARES):
            if arranged.filler is None:
                pair = (number, other) if environment == 0 else (other, number)
                yield Part(0, arranged.train[pair[0]], breed, TRAIN, cell)
                yield Part(0, arranged.test[pair[0]], breed, TEST, None)
            else:
                own = int(share * cell)
                yield Part(environment, arranged.train[number], breed, TRAIN, own)
                yield Part(environment, arranged.filler, breed, TRAIN, cell - own)
                yield Part(environment, arranged.test[number], breed, TEST, None)


def known_fault(entry: Entry) -> str | None:
    """Describe the fault of the one file that is broken in the release; None for other files and a repaired one."""
    if entry.name != BROKEN:
        return None
    try:
        with Image.open(entry.path) as opened:
            width, height = opened.size
    except UNREADABLE:
        return None  # named with the other unreadable pictures
    return None if width == height else f"{entry.path} has {width} x {height} pixels, broken in the release"
