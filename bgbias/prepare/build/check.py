"""Is a dataset folder what it should be?"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from bgbias.components import make
from bgbias.data.dataset import DatasetSpec
from bgbias.data.datasets import spawrious, waterbirds
from bgbias.data.datasets.imagenet9 import Imagenet9
from bgbias.data.datasets.pictures import Pictures
from bgbias.data.photographs import layout, listing
from bgbias.data.photographs.grouped import GroupedPictures
from bgbias.data.photographs.imagenet9_classes import CLASSES
from bgbias.errors import DataError, SettingError
from bgbias.prepare.build.check_table import check_table
from bgbias.prepare.build.findings import CheckReport, Findings, check_checksums
from bgbias.prepare.build.folder import CHECKSUMS, MANIFEST, UNFINISHED
from bgbias.prepare.build.parallel import parallel
from bgbias.prepare.build.scan import REQUIRED_PARTS, Classes, Seen, Tree, read_tree, see

TEST_OF_EACH, TRAIN_OF_EACH = 450, 5_045
"""Pictures of each class in ImageNet-9's released test set and in its training archives."""
VARIANTS = f"<variant>/train nor {layout.RELEASE}/<variant>/val"


def check(root: Path, workers: int, spec: DatasetSpec | None = None) -> CheckReport:
    """Check the layout, the names, every picture and mask, and the checksums where there are any.

    Args:
        root: a dataset folder: in ImageNet-9's layout, with training parts, the released test set, or both, or its
            `bg_challenge` itself; or one that a table or Spawrious' folders describe.
        workers: threads, >= 1.
        spec: the dataset that it is to be loaded as; None takes what its layout shows.

    Raises:
        DataError: there is no such folder, or no dataset in it, or its table cannot be read.
        SettingError: `spec` is a dataset without photographs.
    """
    root = root.parent if root.name == layout.RELEASE else root
    if not root.is_dir():
        raise DataError(f"no dataset folder at {root}: give one that `study data build` or `study data fetch` wrote")
    if (root / UNFINISHED).is_dir():
        raise DataError(
            f"{root} is a build that has not ended: the same `study data build` continues it, or says what it lacks"
        )
    tree = read_tree(root)
    spec = spec or spec_of(root, has_variants=bool(tree.parts))
    if isinstance(spec, GroupedPictures):
        return check_table(spec, root, workers)
    if not isinstance(spec, Imagenet9):
        raise SettingError(f"photographs are checked, but {spec.name()} has none: give another --dataset")
    if not tree.parts:
        raise DataError(f"{root} holds neither {VARIANTS}: give a folder in ImageNet-9's layout")
    return Checker(tree).run(workers)


def spec_of(root: Path, *, has_variants: bool) -> DatasetSpec:
    """The dataset whose layout a folder has.

    Raises:
        DataError: it has none.
    """
    if has_variants:
        return Imagenet9()
    if root.name == spawrious.FOLDER or (root / spawrious.FOLDER).is_dir():
        return spawrious.Spawrious()
    for release, names in waterbirds.FOLDERS.items():
        if root.name in names or any((root / name / waterbirds.TABLE).is_file() for name in names if name):
            return make(waterbirds.Waterbirds, {"release": release}, "dataset")
    if (root / Pictures().table_file).is_file():
        return Pictures()
    raise DataError(
        f"{root} holds neither {VARIANTS}, nor {Pictures().table_file}, nor {spawrious.FOLDER}: give a folder in "
        "one of these layouts, or name its dataset by --dataset and its options by --set"
    )


class Checker:
    """The checks of one folder, each of which notes what it finds.

    A folder that was built has a manifest and is held to all that a build promises. One without is a release, of which
    single archives may be missing.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.findings, self.remarks = Findings(), Findings()
        self.is_built = (tree.root / MANIFEST).is_file()
        self.classes = sorted({name for parts in tree.parts.values() for part in parts.values() for name in part})
        self.is_imagenet9 = tuple(self.classes) == CLASSES and not self.is_built

    def run(self, workers: int) -> CheckReport:
        """All checks."""
        self._check_folders()
        for split in self.tree.parts:
            self._check_names(split)
        self._check_splits()
        if self.is_imagenet9:
            self._check_release_counts()
        files = list(self.tree.files())
        seen = {found.path: found for found in parallel(see, files, workers, "checking files")}
        self._check_contents(seen)
        check_checksums(self.findings, self.tree.root, {self.tree.name(path): one.digest for path, one in seen.items()})
        counts = {
            split: {part: {name: len(files) for name, files in classes.items()} for part, classes in parts.items()}
            for split, parts in self.tree.parts.items()
        }
        return CheckReport(counts, self.findings.found(), self.remarks.found())

    def _check_folders(self) -> None:
        tree = self.tree
        self.findings.add("does not belong here", map(tree.name, tree.unexpected_files))
        known = {*REQUIRED_PARTS, layout.UNMASKED, layout.RELEASE, MANIFEST, CHECKSUMS}
        others = [entry.name for entry in listing.entries(tree.root) if entry.name not in known]
        self.remarks.add("is no part of the layout", others)
        for split, parts in tree.parts.items():
            needed = REQUIRED_PARTS if self.is_built or split == layout.TEST else (layout.ORIGINAL,)
            self.findings.add("is missing", [self._folder(part, split) for part in needed if part not in parts])
            for part, classes in parts.items():
                expected = self.classes if part != layout.UNMASKED else ()
                absent = [name for name in expected if not classes.get(name)]
                self.findings.add("holds no files of a class", [f"{self._folder(part, split)}/{c}" for c in absent])

    def _folder(self, part: str, split: str) -> str:
        return self.tree.name(layout.split_folder(self.tree.root, part, split))

    def _check_names(self, split: str) -> None:
        """Every part must show each original once, and nothing else."""
        parts = self.tree.parts[split]
        originals = parts.get(layout.ORIGINAL, {})
        known = {name: {layout.source(file.stem) for file in files} for name, files in originals.items()}
        for part, classes in parts.items() if known else ():
            if part in layout.MIXED:
                self._check_mixed(split, classes, Counter(name for names in known.values() for name in names))
            if part != layout.UNMASKED:
                self._compare(split, part, known)

    def _compare(self, split: str, part: str, known: dict[str, set[str]]) -> None:
        what = "mask" if part == layout.FG_MASK else f"{part} picture"
        for class_name, files in self.tree.parts[split][part].items():
            shown = Counter(layout.source(file.stem) for file in files)
            originals = known.get(class_name, set())
            place = f"{self._folder(part, split)}/{class_name}"
            for problem, names in (
                (f"has no {what}", originals - set(shown)),
                (f"has more than one {what}", {name for name, times in shown.items() if times > 1}),
                ("is the source of no original", set(shown) - originals),
            ):
                self.findings.add(problem, [f"{place}: {name}" for name in sorted(names)])

    def _check_mixed(self, split: str, classes: Classes, known: Mapping[str, int]) -> None:
        """Check the backgrounds' names.

        Args:
            known: by name of an original, how many classes have it.
        """
        sources = {file: layout.mixed_sources(file.stem) for files in classes.values() for file in files}
        unnamed = [self.tree.name(file) for file, pair in sources.items() if pair is None]
        self.findings.add("is not named fg_<foreground>_bg_<background>", unnamed)
        having = {self.tree.name(file): known.get(pair[1], 0) for file, pair in sources.items() if pair is not None}
        foreign = [file for file, number in having.items() if number == 0]
        notes = self.findings if self.is_built else self.remarks  # a release may have left some of its sources out
        notes.add("has the background of no original in its split", foreign)
        if split == layout.TEST:  # the others are composed when they are loaded
            shared = [file for file, number in having.items() if number > 1]
            self.findings.add("has a background whose name several classes have", shared)

    def _check_splits(self) -> None:
        first: dict[str, str] = {}
        for split, parts in self.tree.parts.items():
            originals = parts.get(layout.ORIGINAL, {})
            names = {f"{class_name}/{layout.source(f.stem)}" for class_name, files in originals.items() for f in files}
            for name in sorted(names):
                other = first.setdefault(name, split)
                if other == split:
                    continue
                is_uncleaned = self.is_imagenet9 and (other, split) == (layout.VAL, layout.TEST)
                notes = self.remarks if is_uncleaned else self.findings
                notes.add(f"is a source in both {other} and {split}", [name])

    def _check_release_counts(self) -> None:
        """ImageNet-9 has the same number of every class; IN-9L, with the same folders, has more for training."""
        for split, expected in ((layout.TEST, TEST_OF_EACH), (layout.TRAIN, TRAIN_OF_EACH)):
            for part, classes in self.tree.parts.get(split, {}).items():
                for name, files in classes.items():
                    if len(files) != expected:
                        is_more = split == layout.TRAIN and len(files) > expected
                        problem = f"does not hold the {expected:,} files of a class that ImageNet-9 has"
                        place = f"{self._folder(part, split)}/{name}: {len(files):,}"
                        (self.remarks if is_more else self.findings).add(problem, [place])

    def _check_contents(self, seen: dict[Path, Seen]) -> None:
        for found in seen.values():
            if found.fault is not None:
                self.findings.add(f"cannot be used ({found.fault})", [self.tree.name(found.path)])
        turned = [self.tree.name(found.path) for found in seen.values() if found.turned]
        self.remarks.add("is turned by an EXIF orientation, so that its variants and masks may not fit", turned)
        for parts in self.tree.parts.values():
            originals = parts.get(layout.ORIGINAL, {})
            plain = [file for files in originals.values() for file in files if seen[file].plain]
            self.remarks.add("is nearly all of one colour", map(self.tree.name, plain))
            if layout.FG_MASK in parts:
                self._check_shapes(originals, parts[layout.FG_MASK], seen)
        sizes = Counter(found.size for found in seen.values() if found.size is not None)
        usual = max(sizes, key=sizes.__getitem__, default=(0, 0))
        odd = [found for found in seen.values() if found.size not in (None, usual)]
        problem = f"is not {usual[0]} x {usual[1]} pixels as most are"
        (self.findings if self.is_built else self.remarks).add(problem, [self.tree.name(found.path) for found in odd])

    def _check_shapes(self, originals: Classes, masks: Classes, seen: dict[Path, Seen]) -> None:
        for class_name, files in masks.items():
            pictures = {layout.source(file.stem): seen[file] for file in originals.get(class_name, [])}
            for file in files:
                mask, picture = seen[file].size, pictures.get(layout.source(file.stem))
                if mask is not None and picture is not None and picture.size is not None:
                    sizes = (picture.size, picture.size[::-1]) if picture.turned else (picture.size,)
                    wrong = [] if mask in sizes else [self.tree.name(file)]
                    self.findings.add("is a mask of another shape than its picture", wrong)
