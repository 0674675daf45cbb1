import csv
import shutil
from pathlib import Path

import pytest
from made_tables import write_table

from bgbias.components import make
from bgbias.data.datasets import datasets
from bgbias.data.datasets.waterbirds import CLASSES, COUNTS, PLACES, check_counts
from bgbias.data.photographs.table import TRAIN, Columns, Entry, read_table
from bgbias.errors import DataError

REDRAWN = Path(__file__).resolve().parents[4] / "shared" / "data" / "waterbirds_metadata.csv"
"""Beside the repository, where it is there."""


def waterbirds(folder, **options):
    return make(datasets["waterbirds"], {"size": 32, "release": "other", **options}, "dataset").load(folder)


def entries(counts):
    """Make the given number of entries of each split and group."""
    return [
        Entry(f"{split}/{group}/{n}.jpg", Path("x"), group // 2, group % 2, split)
        for split, groups in counts.items()
        for group, count in enumerate(groups)
        for n in range(count)
    ]


@pytest.mark.parametrize("inside", ["", "waterbird_complete95_forest2water2", "waterbirds_v1.0"])
def test_both_packages_are_found_in_a_folder_or_as_the_folder(tmp_path, inside):
    write_table(tmp_path / inside, masks=None)
    found = waterbirds(tmp_path)
    assert (found.classes, found.places) == (CLASSES, PLACES)
    assert found.training_groups.tolist() == [[9, 3, 0], [3, 9, 0]]
    assert not found.has_masks
    assert list(found.files) == ["metadata.csv"]


def test_segmentations_may_lie_beside_the_release(tmp_path):
    write_table(tmp_path / "waterbirds_v1.0", masks="segmentations")
    (tmp_path / "waterbirds_v1.0" / "segmentations").rename(tmp_path / "segmentations")
    found = waterbirds(tmp_path)
    assert found.has_masks
    assert list(found.test) == ["original", "mixed_same", "mixed_rand", "only_fg", "only_bg_t"]


@pytest.mark.parametrize("release", COUNTS)
def test_the_counts_of_a_release_are_checked(release):
    counts = {split: list(groups) for split, groups in COUNTS[release].items()}
    check_counts(Path("metadata.csv"), entries(counts), release)
    counts[TRAIN][1] += 1
    told = f"training groups of Waterbirds-{release} have .*, but those of metadata.csv have .*dataset/release=other"
    with pytest.raises(DataError, match=told):
        check_counts(Path("metadata.csv"), entries(counts), release)


def test_all_birds_are_in_both_releases():
    assert [sum(groups) for groups in COUNTS["95"].values()] == [4795, 1199, 5794]
    one, two, three, four = COUNTS["95"][TRAIN]
    assert COUNTS["100"][TRAIN] == (one + two, 0, 0, three + four)


@pytest.mark.skipif(not REDRAWN.exists(), reason="the full-size table is not here")
def test_a_full_size_table_that_is_a_redraw_is_named_with_its_counts():
    found = read_table(REDRAWN, Columns("img_filename", "y", "split", "place", None), CLASSES, PLACES)
    assert len(found.entries) == 11_788
    with pytest.raises(DataError, match=r"have 3498 / 184 / 56 / 1057 pictures.*have 3525 / 186 / 54 / 1030: fetch"):
        check_counts(REDRAWN, found.entries, "95")


def test_mistaken_species_are_corrected_where_that_is_asked(waterbirds_folder):
    plain, corrected = (waterbirds(waterbirds_folder, label_errors=what) for what in ("keep", "correct"))
    names = [plain.source_names[i] for i in plain.train.foregrounds.source.tolist()]
    towhees = [name.startswith("021.Eastern_Towhee") for name in names]
    assert sum(towhees) == 8
    for name, before, after in zip(
        names, plain.train.foregrounds.label, corrected.train.foregrounds.label, strict=True
    ):
        assert after == (0 if name.startswith("021.Eastern_Towhee") else before)


def test_a_list_of_errors_corrects_labels_and_leaves_pictures_out(waterbirds_folder, tmp_path):
    with (waterbirds_folder / "metadata.csv").open() as opened:
        names = [row["img_filename"] for row in csv.DictReader(opened)]
    errors = tmp_path / "errors.csv"
    errors.write_text(f"img_filename,y\n{names[0]},1\n{names[1]},\n")
    found = waterbirds(waterbirds_folder, label_errors=str(errors))
    assert found.training_groups.tolist() == [[7, 3, 0], [4, 9, 0]]
    assert list(found.files) == ["metadata.csv", "label_errors"]
    for line, told in (("other.jpg,1", r"names other\.jpg, which the table has not"), (f"{names[0]},2", "y '2': give")):
        errors.write_text(f"img_filename,y\n{line}\n")
        with pytest.raises(DataError, match=told):
            waterbirds(waterbirds_folder, label_errors=str(errors))


def test_a_place_outside_land_and_water_is_refused(tmp_path):
    write_table(tmp_path, masks=None)
    text = (tmp_path / "metadata.csv").read_text().replace(",0,0,0,scene", ",0,0,2,scene", 1)
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(DataError, match="line 2 has place '2', but the names land, water are for 0 to 1"):
        waterbirds(tmp_path)


def test_a_folder_without_the_table_is_refused(tmp_path):
    write_table(tmp_path, masks=None)
    shutil.move(tmp_path / "metadata.csv", tmp_path / "other.csv")
    with pytest.raises(DataError, match=r"metadata\.csv is missing"):
        waterbirds(tmp_path, release="95")
