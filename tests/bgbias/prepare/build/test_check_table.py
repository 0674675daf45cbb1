"""Checks of folders that a table of pictures describes, whole and damaged."""

import shutil

import numpy as np
import pytest
from PIL import Image

from bgbias.data.datasets.pictures import Pictures
from bgbias.data.datasets.spawrious import BREEDS, Spawrious
from bgbias.data.datasets.waterbirds import Waterbirds
from bgbias.errors import DataError, SettingError
from bgbias.prepare.build.check import check
from bgbias.prepare.build.findings import Finding

NAME = "021.Eastern_Towhee/{}_0.jpg"
"""The first picture of a split and group."""


@pytest.fixture
def folder(table_folder, tmp_path):
    return shutil.copytree(table_folder, tmp_path / "data", ignore=shutil.ignore_patterns(".banks"))


def found(folder, spec=None):
    return {finding.problem: finding.where for finding in check(folder, 2, spec).findings}


def remarks(folder, spec=None):
    return {remark.problem: remark.where for remark in check(folder, 2, spec).remarks}


def test_a_sound_table_is_counted_by_group(table_folder):
    report = check(table_folder, 2)
    assert (report.is_sound, report.remarks, report.counted) == (True, [], "place")
    assert report.counts == {
        "training": {"0": {"0": 9, "1": 3}, "1": {"0": 3, "1": 9}},
        "validation": {"0": {"0": 3, "1": 3}, "1": {"0": 3, "1": 3}},
        "test": {"0": {"0": 4, "1": 4}, "1": {"0": 4, "1": 4}},
    }
    named = check(table_folder, 2, Pictures(classes="disc,bar", places="north,south"))
    assert named.counts["test"] == {"north": {"disc": 4, "bar": 4}, "south": {"disc": 4, "bar": 4}}


def test_all_that_is_wrong_is_found_at_once(folder):
    mask = "masks/" + NAME.replace("jpg", "png")
    (folder / NAME.format("0_0")).unlink()
    (folder / NAME.format("0_1")).write_bytes((folder / NAME.format("0_1")).read_bytes()[:-60])
    Image.new("L", (9, 7), 255).save(folder / mask.format("0_2"))
    (folder / mask.format("0_3")).write_bytes(b"no mask")
    shutil.copy(folder / NAME.format("0_3"), folder / NAME.format("2_3"))
    shutil.copy(folder / NAME.format("1_0"), folder / NAME.format("1_3"))
    problems = found(folder)
    (cut,) = [problem for problem in problems if "truncated" in problem]
    assert problems.pop(cut) == [NAME.format("0_1")]
    assert problems == {
        "cannot be used (cannot identify image file)": [mask.format("0_3")],
        "is missing": [NAME.format("0_0")],
        "has the same bytes as another picture, in training and test": [f"{NAME.format('2_3')}: {NAME.format('0_3')}"],
        "has the same bytes as a picture of another class": [f"{NAME.format('1_3')}: {NAME.format('1_0')}"],
        "is a mask of another shape than its picture": [
            f"{mask.format('0_2')}: it has the shape 7 x 9, but its picture is (32, 32)"
        ],
    }


def test_what_may_be_meant_is_remarked(folder):
    mask = "masks/" + NAME.replace("jpg", "png")
    (folder / mask.format("0_0")).unlink()
    Image.new("L", (32, 32), 0).save(folder / mask.format("0_1"))
    Image.fromarray(np.full((32, 32, 3), 250, dtype=np.uint8)).save(folder / NAME.format("0_2"))
    (folder / "more").mkdir()
    shutil.copy(folder / NAME.format("0_0"), folder / "more" / "other.jpg")
    rows = (folder / "metadata.csv").read_text().splitlines()
    kept = [row for row in rows if "/1_1_" not in row]
    (folder / "metadata.csv").write_text("\n".join(kept) + "\n")
    unnamed = [row.split(",")[1] for row in rows if "/1_1_" in row]
    named = remarks(folder)
    others = named.pop("is named by no row of the table")
    assert set(others) == {"more/other.jpg", *unnamed, *(f"masks/{name[:-4]}.png" for name in unnamed)}
    assert named == {
        "has no mask": [NAME.format("0_0")],
        "is a mask without object or without background, and is not used": [mask.format("0_1")],
        "is nearly all of one colour": [NAME.format("0_2")],
        "has no picture": ["validation set, class 0, place 1"],
    }
    assert found(folder) == {}


def test_a_class_that_no_training_picture_shows_is_found(folder):
    rows = (folder / "metadata.csv").read_text().splitlines()
    (folder / "metadata.csv").write_text("\n".join(r for r in rows if "/0_2_" not in r and "/0_3_" not in r) + "\n")
    assert found(folder) == {"has no picture": ["training set, class 1"]}


def test_a_table_that_cannot_be_read_is_refused_with_all_its_lines(folder):
    text = (folder / "metadata.csv").read_text()
    (folder / "metadata.csv").write_text(text.replace("/0_0_0.jpg,0,0,0", "/0_0_0.jpg,0,7,0") + "99,x.jpg,0,9,0,\n")
    with pytest.raises(DataError, match=r"line 2 has split '7', .*; line 54 has split '9'"):
        check(folder, 1)
    (folder / "metadata.csv").write_text(text.replace("img_filename", "file"))
    with pytest.raises(DataError, match="has no column 'img_filename', but img_id, file, y"):
        check(folder, 1)
    assert check(folder, 1, Pictures(picture_column="file")).is_sound


def test_layouts_are_known_by_what_lies_in_the_folder(waterbirds_folder, spawrious_folder, tmp_path):
    home = shutil.copytree(waterbirds_folder, tmp_path / "waterbirds_v1.0", ignore=shutil.ignore_patterns(".banks"))
    with pytest.raises(DataError, match=r"training groups of Waterbirds-95 have 3498 / 184 / 56 / 1057 pictures"):
        check(home, 1)
    report = check(tmp_path, 1, Waterbirds(release="other"))
    assert report.is_sound
    assert report.counts["training"]["water"] == {"landbird": 3, "waterbird": 9}
    with pytest.raises(DataError, match="holds 10 pictures, but o2o_easy needs 3072 of it"):
        check(spawrious_folder, 1)
    report = check(spawrious_folder, 2, Spawrious(cell=10))
    assert report.is_sound
    assert report.counts["training"]["beach"] == dict.fromkeys(sorted(BREEDS), 3)
    with pytest.raises(DataError, match=r"holds neither .*, nor metadata.csv, nor spawrious224"):
        check(home / "segmentations", 1)


def test_data_without_photographs_are_refused(tmp_path):
    from bgbias.data.datasets import datasets

    with pytest.raises(SettingError, match="photographs are checked, but colored-digits has none"):
        check(tmp_path, 1, datasets["colored-digits"]())


def test_a_waterbirds_that_was_built_is_held_to_its_checksums(tmp_path):
    from made_sources import write_sources

    from bgbias.prepare.build.scene_build import build_scenes
    from bgbias.prepare.build.settings import SceneSettings

    root = write_sources(tmp_path / "sources")
    for place, color in (("lake", 200), ("moor", 60), ("town", 90)):
        (root / "scenes" / place).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (40, 40), (color, number, 0)).save(root / "scenes" / place / f"{number}.png")
    given = {"images": root / "images", "masks": root / "masks", "size": 32, "ratios": (0.34, 0.33, 0.33)}
    build_scenes(SceneSettings(scenes=root / "scenes", **given), tmp_path / "out", 1, skip_bad=False)
    assert found(tmp_path / "out") == {}
    picture = next(tmp_path.glob("out/ant/*.jpg"))
    Image.open(picture).transpose(Image.Transpose.ROTATE_180).save(picture)
    assert check(tmp_path / "out", 1).findings == [
        Finding("does not have the checksum that files.sha256 lists", [f"ant/{picture.name}"])
    ]
