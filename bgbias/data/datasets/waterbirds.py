"""Waterbirds: two classes of birds on land or water, where the place predicts the class of 95 % of training pictures.

Birds of CUB-200-2011 pasted on scenes of Places. Validation and test have each class on both places alike.
Format: the Stanford release (`waterbird_complete95_forest2water2`) or WILDS' package of it (`waterbirds_v1.0`):
`metadata.csv` with `img_filename,y,split,place`, the pictures beside it. `segmentations`, from CUB's own archive, may
lie in that folder or beside it; then the methods that need masks run too. Waterbirds-100
(`waterbird_1.0_forest2water2`) has no minority picture in its training set.
Sources: S. Sagawa et al., "Distributionally Robust Neural Networks for Group Shifts", 2020 (arXiv 1911.08731),
https://nlp.stanford.edu/data/dro/waterbird_complete95_forest2water2.tar.gz; S. Petryk et al., "On Guiding Visual
Attention with Language Specification", 2022 (arXiv 2202.08926), for Waterbirds-100. CUB's and Places' terms: research
only.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bgbias.components import component
from bgbias.data.photographs.grouped import Fit, GroupedPictures
from bgbias.data.photographs.table import TEST, TRAIN, VALIDATION, Columns, Entry, PictureTable, read_rows, read_table
from bgbias.errors import DataError
from bgbias.files import sha256

CLASSES, PLACES = ("landbird", "waterbird"), ("land", "water")
TABLE = "metadata.csv"
FOLDERS = {
    "95": ("", "waterbird_complete95_forest2water2", "waterbirds_v1.0"),
    "100": ("", "waterbird_1.0_forest2water2", "waterbirds_1.0"),
}
COUNTS = {
    "95": {
        TRAIN: (3498, 184, 56, 1057),
        VALIDATION: (467, 466, 133, 133),
        TEST: (2255, 2255, 642, 642),
    },
    "100": {TRAIN: (3682, 0, 0, 1113)},
}
"""By release and split, the pictures of landbirds on land, landbirds on water, waterbirds on land, waterbirds on water.
The 4,795 training birds of Waterbirds-100 are those of the 95 % release, each on its own place."""
MISTAKEN = ("021.Eastern_Towhee", "088.Western_Meadowlark", "102.Western_Wood_Pewee")
"""Landbirds that the release marks as waterbirds, by its own README."""
SPLIT_NAMES = {TRAIN: "training", VALIDATION: "validation", TEST: "test"}


@component
class Waterbirds(GroupedPictures):
    """Waterbirds: birds on land and water.

    release: `95` or `100`, the bias in percent of the training set, whose number of pictures in each group is checked;
        `other` for a table of another number of pictures, such as a part or a redraw
    label_errors: `keep` the release's labels; `correct` those of the three species that its README calls mistaken; or
        the path of a CSV file with columns `img_filename,y`, where an empty y leaves a picture out

    The other options are those of `bgbias.data.photographs.grouped.GroupedPictures`; training crops keep 70 % of a
    picture at least, and pictures are evaluated as in the paper.
    """

    default_masks: ClassVar[str] = "segmentations"

    release: Literal["95", "100", "other"] = "95"
    label_errors: str = "keep"
    masks: str | None = "segmentations"
    fit: Fit = "stretched"
    min_scale: Annotated[float, Field(gt=0, le=1)] = 0.7

    def table(self, folder: Path) -> PictureTable:
        names = FOLDERS.get(self.release, tuple(dict.fromkeys(name for group in FOLDERS.values() for name in group)))
        file = next((folder / name / TABLE for name in names if (folder / name / TABLE).is_file()), folder / TABLE)
        found = read_table(file, Columns("img_filename", "y", "split", "place", None), CLASSES, PLACES)
        if self.release != "other":
            check_counts(file, found.entries, self.release)
        return replace(found, entries=tuple(corrected(found.entries, self.label_errors)))

    def mask_homes(self, table: PictureTable, folder: Path) -> Sequence[Path]:
        return table.root, folder, table.root.parent

    def files(self, table: PictureTable) -> Mapping[str, str]:
        own = {} if self.label_errors in ("keep", "correct") else {"label_errors": sha256(Path(self.label_errors))}
        return {TABLE: sha256(table.root / TABLE), **own}


def check_counts(file: Path, entries: Sequence[Entry], release: str) -> None:
    """Compare the groups' numbers of pictures with the release's.

    Raises:
        DataError: a split has other numbers of pictures in its groups than the release.
    """
    for split, expected in COUNTS[release].items():
        count = Counter(2 * entry.label + entry.place for entry in entries if entry.split == split)
        found = tuple(count[group] for group in range(len(expected)))
        if found != expected:
            raise DataError(
                f"the {SPLIT_NAMES[split]} groups of Waterbirds-{release} have {_listed(expected)} pictures, but those "
                f"of {file} have {_listed(found)}: fetch the release, or set dataset/release=other"
            )


def _listed(counts: Sequence[int]) -> str:
    return " / ".join(map(str, counts))


def corrected(entries: Sequence[Entry], errors: str) -> list[Entry]:
    """The entries with other labels.

    Args:
        errors: as `Waterbirds.label_errors`.

    Raises:
        DataError: the file is missing, or names an unknown picture or label.
    """
    if errors == "keep":
        return list(entries)
    if errors == "correct":
        return [replace(entry, label=0) if entry.name.startswith(MISTAKEN) else entry for entry in entries]
    rows = read_rows(Path(errors), ["img_filename", "y"], "set dataset/label_errors to keep, correct or a CSV file")
    label = {row["img_filename"]: row["y"] for row in rows}
    unknown = sorted(label.keys() - {entry.name for entry in entries})
    if unknown:
        raise DataError(f"{errors} names {unknown[0]}, which the table has not: leave the line out")
    wrong = sorted({y for y in label.values() if y not in ("", "0", "1")})
    if wrong:
        raise DataError(f"{errors} has y '{wrong[0]}': give 0, 1, or nothing to leave the picture out")
    kept = [entry for entry in entries if label.get(entry.name) != ""]
    return [replace(entry, label=int(label.get(entry.name, entry.label))) for entry in kept]
