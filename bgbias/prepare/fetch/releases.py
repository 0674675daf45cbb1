"""Releases that can be fetched: their addresses, and the number of files of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bgbias.data.photographs import listing
from bgbias.data.photographs.imagenet9_classes import CLASSES
from bgbias.data.photographs.layout import FG_MASK, PICTURE_ENDINGS, RELEASE, VAL, VARIANTS
from bgbias.errors import DataError, UnknownNameError

COUNTED_ENDINGS = PICTURE_ENDINGS | {".npy"}
NAMED_FAULTS = 3


@dataclass(frozen=True)
class Release:
    """A released archive.

    url:     of the archive, a gzipped tar file
    archive: what it is called on disk
    top:     the one folder that it unpacks to
    counts:  how many pictures or masks lie in each folder below `top`
    """

    url: str
    archive: str
    top: str
    counts: Mapping[str, int]

    def check(self, pictures: Path, way_out: str) -> None:
        """Count the files below `pictures`, an unpacked `top`.

        Raises:
            DataError: a folder holds more or fewer than it should; ends with the way out.
        """
        found = {name: _count(pictures / name) for name in self.counts}
        faults = [
            f"{name} has {found[name]} of {count} files" for name, count in self.counts.items() if found[name] != count
        ]
        if faults:
            more = f" and {len(faults) - NAMED_FAULTS} folders more" if len(faults) > NAMED_FAULTS else ""
            raise DataError(f"{pictures} is not whole ({', '.join(faults[:NAMED_FAULTS])}{more}): {way_out}")


def _count(folder: Path) -> int:
    return sum(file.suffix.lower() in COUNTED_ENDINGS for file in listing.files(folder))


IMAGENET9 = Release(
    url="https://github.com/MadryLab/backgrounds_challenge/releases/download/data/backgrounds_challenge_data.tar.gz",
    archive="backgrounds_challenge_data.tar.gz",
    top=RELEASE,
    counts={f"{part}/{VAL}/{name}": 450 for part in (*VARIANTS, FG_MASK) for name in CLASSES},
)
"""The Background Challenge: 4,050 test pictures in eight variants, and their masks.

Source: K. Xiao et al., "Noise or Signal", 2020 (arXiv 2006.09994). No checksum is published.
"""

RELEASES = {"imagenet9": IMAGENET9}


def find_release(name: str) -> Release:
    """The release called `name`.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in RELEASES:
        raise UnknownNameError("release", name, RELEASES)
    return RELEASES[name]
