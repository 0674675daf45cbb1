"""Is a folder of pictures that a table describes what it should be?"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bgbias.data.photographs import listing
from bgbias.data.photographs.grouped import SPLIT_NAMES, GroupedPictures, MaskShapeError, shown_mask
from bgbias.data.photographs.layout import PICTURE_ENDINGS
from bgbias.data.photographs.picture import UNREADABLE, reason
from bgbias.data.photographs.table import TEST, TRAIN, Entry, PictureTable
from bgbias.files import sha256
from bgbias.prepare.build.findings import CheckReport, Findings, check_checksums
from bgbias.prepare.build.folder import CHECKSUMS
from bgbias.prepare.build.parallel import parallel
from bgbias.prepare.build.scan import Seen, see


def check_table(spec: GroupedPictures, folder: Path, workers: int) -> CheckReport:
    """Check every picture and mask that a table names, its groups, and the checksums where there are any.

    Args:
        spec: what the folder is to be loaded as.
        workers: threads, >= 1.

    Raises:
        DataError: the table is missing, lacks a column, or holds values without a meaning, all of which are named.
    """
    lenient = replace(spec, faulty="skip")
    table = lenient.with_masks(lenient.table(folder), folder)
    return TableChecker(table, is_whole=bool(lenient.files(table))).run(workers)


@dataclass(frozen=True)
class SeenMask:
    """A mask that was read.

    digest: SHA-256 of its bytes
    fault: why it cannot be used; empty where it can
    fits: whether it has its picture's shape
    empty: whether it is without object or without background
    """

    digest: str
    fault: str = ""
    fits: bool = True
    empty: bool = False


class TableChecker:
    """The checks of one table's pictures, each of which notes what it finds.

    Args:
        is_whole: whether the table names every picture of its folder.
    """

    def __init__(self, table: PictureTable, *, is_whole: bool) -> None:
        self.table, self.is_whole = table, is_whole
        self.findings, self.remarks = Findings(), Findings()

    def run(self, workers: int) -> CheckReport:
        """All checks."""
        entries = self.table.entries
        self.findings.add("is missing", [entry.name for entry in entries if not entry.path.is_file()])
        masks = [entry for entry in entries if entry.mask is not None]
        self.findings.add("is missing", [self._name(e.mask) for e in masks if e.mask and not e.mask.is_file()])
        if masks:
            self.remarks.add("has no mask", [entry.name for entry in entries if entry.mask is None])
        there = [entry for entry in entries if entry.path.is_file()]
        seen = {found.path: found for found in parallel(see, [e.path for e in there], workers, "checking pictures")}
        self._check_pictures(there, seen)
        pairs = [(entry.mask, entry.path) for entry in there if entry.mask is not None and entry.mask.is_file()]
        digests = {self._name(path): found.digest for path, found in seen.items()}
        for (mask, picture), found in zip(pairs, parallel(see_mask, pairs, workers, "checking masks"), strict=True):
            digests[self._name(mask)] = found.digest
            if seen[picture].fault is None:
                self._check_mask(self._name(mask), found)
        self._check_groups()
        if self.is_whole:
            self._check_others()
        self._check_checksums(digests)
        return CheckReport(self.counts(), self.findings.found(), self.remarks.found(), "place")

    def _name(self, file: Path) -> str:
        """Name of a file in reports: its path below the table's folder if it is inside, otherwise its full path."""
        root = self.table.root
        return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)

    def _check_pictures(self, entries: Sequence[Entry], seen: Mapping[Path, Seen]) -> None:
        first: dict[str, Entry] = {}
        for entry in entries:
            found = seen[entry.path]
            if found.fault is not None:
                self.findings.add(f"cannot be used ({found.fault})", [entry.name])
            if found.plain:
                self.remarks.add("is nearly all of one colour", [entry.name])
            other = first.setdefault(found.digest, entry)
            if other.split != entry.split:
                names = f"{SPLIT_NAMES[other.split]} and {SPLIT_NAMES[entry.split]}"
                self.findings.add(f"has the same bytes as another picture, in {names}", [f"{entry.name}: {other.name}"])
            elif other.label != entry.label:
                self.findings.add("has the same bytes as a picture of another class", [f"{entry.name}: {other.name}"])

    def _check_mask(self, name: str, found: SeenMask) -> None:
        if not found.fits:
            self.findings.add("is a mask of another shape than its picture", [f"{name}: {found.fault}"])
        elif found.fault:
            self.findings.add(f"cannot be used ({found.fault})", [name])
        elif found.empty:
            self.remarks.add("is a mask without object or without background, and is not used", [name])

    def _check_groups(self) -> None:
        """Note the classes and the groups that a split lacks."""
        table = self.table
        count = Counter((entry.split, entry.label, entry.place) for entry in table.entries)
        splits = sorted({split for split, _, _ in count})
        self.findings.add("has no picture", [f"{SPLIT_NAMES[s]} set" for s in (TRAIN, TEST) if s not in splits])
        for split in splits:
            for label, name in enumerate(table.classes):
                groups = [count[split, label, place] for place in range(len(table.places))]
                where = f"{SPLIT_NAMES[split]} set, class {name}"
                if not any(groups):
                    self.findings.add("has no picture", [where])
                    continue
                empty = [place for number, place in zip(groups, table.places, strict=True) if not number]
                self.remarks.add("has no picture", [f"{where}, place {place}" for place in empty])

    def _check_others(self) -> None:
        """Note the pictures that no row names."""
        entries, root = self.table.entries, self.table.root
        named = {entry.path for entry in entries} | {entry.mask for entry in entries}
        files = (file for file in listing.files_below(root) if file.suffix.lower() in PICTURE_ENDINGS)
        self.remarks.add("is named by no row of the table", [self._name(file) for file in files if file not in named])

    def _check_checksums(self, digests: dict[str, str]) -> None:
        root = self.table.root
        beside = [file for file in listing.files(root) if file.suffix == ".csv" and (root / CHECKSUMS).is_file()]
        own = {file.name: sha256(file) for file in beside}
        check_checksums(self.findings, root, digests | own)

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """The pictures by split, place and class."""
        table = self.table
        count = Counter((entry.split, entry.place, entry.label) for entry in table.entries)
        return {
            name: {
                place: {of: count[split, number, label] for label, of in enumerate(table.classes)}
                for number, place in enumerate(table.places)
            }
            for split, name in SPLIT_NAMES.items()
        }


def see_mask(pair: tuple[Path, Path]) -> SeenMask:
    """Read a mask beside its picture."""
    mask, picture = pair
    digest = sha256(mask)
    try:
        shown = shown_mask(mask, picture)
    except MaskShapeError as error:
        return SeenMask(digest, str(error), fits=False)
    except UNREADABLE as error:
        return SeenMask(digest, reason(error))
    return SeenMask(digest, empty=bool(shown.all() or not shown.any()))
