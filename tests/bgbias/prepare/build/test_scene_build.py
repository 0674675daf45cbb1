"""Small Waterbirds of made-up pictures."""

import csv
import json
import shutil
import subprocess

import numpy as np
import pytest
from made_sources import write_sources
from PIL import Image

from bgbias.data.datasets.pictures import Pictures
from bgbias.errors import DataError, SettingError
from bgbias.prepare.build import scene_build
from bgbias.prepare.build.cut import cut_whole
from bgbias.prepare.build.files import jpeg
from bgbias.prepare.build.scene_build import build_scenes
from bgbias.prepare.build.settings import SceneSettings
from bgbias.prepare.build.sources import Source

EACH, SIZE = 10, 20
CLASSES, PLACES = ("ant", "bee"), ("desert", "lake")
COLORS = {"desert": (220, 200, 90), "lake": (20, 60, 160)}


def write_scenes(root, each=6, places=PLACES):
    """Scenes of one colour each, of several shapes."""
    for place in places:
        (root / place).mkdir(parents=True)
        for number in range(each):
            color = tuple(value + number for value in COLORS[place])
            Image.new("RGB", (30 + 20 * (number % 2), 36), color).save(root / place / f"{place}{number}.png")
    return root


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = write_sources(tmp_path_factory.mktemp("sources"), CLASSES, EACH)
    write_scenes(root / "scenes")
    return root


def made(root, out, workers=2, skip_bad=False, **changed):
    given = {"images": root / "images", "masks": root / "masks", "scenes": root / "scenes", "size": SIZE, "seed": 1}
    settings = SceneSettings(**{**given, "ratios": (0.6, 0.2, 0.2), "confounding": 0.67, **changed})
    return build_scenes(settings, out, workers, skip_bad)


def contents(out):
    return {file.relative_to(out): file.read_bytes() for file in out.rglob("*") if file.is_file()}


def rows(out):
    with (out / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def built(sources, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "out"
    return out, made(sources, out)


def test_the_table_is_the_releases_and_confounded_in_train_alone(built):
    out, manifest = built
    assert (out / "metadata.csv").read_text().splitlines()[0] == "img_id,img_filename,y,split,place,place_filename"
    found = rows(out)
    assert [row["img_id"] for row in found] == [str(number) for number in range(1, len(found) + 1)]
    assert manifest["home"] == {"ant": "desert", "bee": "lake"}
    train = [row for row in found if row["split"] == "0"]
    for y in ("0", "1"):
        assert sorted(row["place"] for row in train if row["y"] == y) == sorted([y] * 4 + [str(1 - int(y))] * 2)
    for split in ("1", "2"):
        objects = {}
        for row in found:
            if row["split"] == split:
                objects.setdefault(row["img_filename"].rpartition("_")[0], []).append(row["place"])
        assert len(objects) == 4
        assert all(sorted(places) == ["0", "1"] for places in objects.values())
    assert manifest["counts"]["train"] == {"ant": {"desert": 4, "lake": 2}, "bee": {"desert": 2, "lake": 4}}
    assert manifest["counts"]["test"] == {name: {"desert": 2, "lake": 2} for name in CLASSES}


def test_no_object_and_no_scene_is_in_two_splits(built):
    for column in (lambda row: row["img_filename"].rpartition("_")[0], lambda row: row["place_filename"]):
        splits = {}
        for row in rows(built[0]):
            splits.setdefault(column(row), set()).add(row["split"])
        assert all(len(found) == 1 for found in splits.values())
    assert all(PLACES[int(row["place"])] == row["place_filename"].partition("/")[0] for row in rows(built[0]))


def test_every_picture_is_its_object_in_its_scene(built, sources):
    out, _ = built
    for row in rows(out):
        class_name, name = row["img_filename"].removesuffix(".jpg").split("/")
        original = name.rpartition("_")[0]
        files = [sources / kind / class_name / f"{original}.png" for kind in ("images", "masks")]
        exact = cut_whole(Source("", class_name, original, *files), SIZE)
        assert exact.image.shape == (20, 24, 3)
        with Image.open(sources / "scenes" / row["place_filename"]) as scene:
            color = np.array(scene.getpixel((0, 0)), dtype=np.uint8)
        expected = np.where(exact.mask[..., None], exact.image, color)
        assert (out / row["img_filename"]).read_bytes() == jpeg(expected)
        with Image.open(out / "masks" / class_name / f"{name}.png") as mask:
            assert np.array_equal(np.asarray(mask), exact.mask * np.uint8(255))


def test_the_folder_is_a_dataset_of_pictures_with_masks(built, tmp_path):
    folder = shutil.copytree(built[0], tmp_path / "copy")  # loading writes banks beside the pictures
    dataset = Pictures(size=16, classes="ant,bee", places="desert,lake").load(folder)
    assert dataset.training_groups.tolist() == [[4, 2, 0], [2, 4, 0]]
    assert {name: len(variant) for name, variant in dataset.test.items()}["original"] == 8
    assert "mixed_rand" in dataset.test


@pytest.mark.parametrize("workers", [1, 3])
def test_another_build_gives_the_same_bytes(built, sources, tmp_path, workers):
    made(sources, tmp_path / "out", workers)
    assert contents(tmp_path / "out") == contents(built[0])
    checked = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "files.sha256"], cwd=built[0], check=False)
    assert checked.returncode == 0


def test_a_stopped_build_goes_on_and_ends_the_same(built, sources, tmp_path, monkeypatch):
    real, called = scene_build.whole, []

    def dies(source, size):
        called.append(source)
        if len(called) > 9:
            raise ZeroDivisionError
        return real(source, size)

    with monkeypatch.context() as patch:
        patch.setattr(scene_build, "whole", dies)
        with pytest.raises(ZeroDivisionError):
            made(sources, tmp_path / "out", workers=1)
    assert not (tmp_path / "out" / "manifest.json").exists()
    made(sources, tmp_path / "out", workers=1)
    assert contents(tmp_path / "out") == contents(built[0])
    with pytest.raises(SettingError, match=r"has settings/confounding = 0\.67 and settings/confounding = 0\.9 was"):
        made(sources, tmp_path / "out", confounding=0.9)


def test_counts_and_a_confounding_for_each_class(sources, tmp_path):
    manifest = made(sources, tmp_path / "out", counts=(4, 1, 2), confounding="1,0.5", home="ant=lake,bee=desert")
    assert manifest["counts"] == {
        "train": {"ant": {"desert": 0, "lake": 4}, "bee": {"desert": 2, "lake": 2}},
        "val": {name: {"desert": 1, "lake": 1} for name in CLASSES},
        "test": {name: {"desert": 2, "lake": 2} for name in CLASSES},
    }
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest


def test_scenes_of_equal_bytes_count_as_one(sources, tmp_path):
    write_scenes(tmp_path / "scenes")
    again = tmp_path / "scenes" / "lake" / "again.png"
    again.write_bytes((tmp_path / "scenes" / "lake" / "lake3.png").read_bytes())
    manifest = made(sources, tmp_path / "out", scenes=tmp_path / "scenes")
    assert manifest["same_scenes"] == ["lake/lake3.png"]
    assert "lake/lake3.png" not in {row["place_filename"] for row in rows(tmp_path / "out")}


def test_boxes_are_scaled_with_their_picture(sources):
    source = Source("", "ant", "ant_0", sources / "images" / "ant" / "ant_0.png", None, ((10.0, 8.0, 40.0, 38.0),))
    found = cut_whole(source, SIZE)
    assert not found.mask[:, :5].any()
    assert not found.mask[:4].any()
    assert found.box.left >= 5


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"confounding": "1,0.5,1"}, SettingError, "--confounding takes one number or one for each of the 2 classes"),
        ({"home": "ant=lake"}, SettingError, "but bee has none"),
        ({"counts": (9, 1, 2)}, DataError, "--counts needs 12 objects of each class, but ant has 10"),
        ({"ratios": (0.9, 0.02, 0.08)}, DataError, "has none for"),
        ({"imagenet9": True}, SettingError, "give one of the two"),
    ],
)
def test_what_cannot_be_built_leaves_no_whole_folder(sources, tmp_path, changed, error, message):
    with pytest.raises(error, match=message):
        made(sources, tmp_path / "out", **changed)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_scene_folders_that_hold_too_little_are_refused(sources, tmp_path):
    (tmp_path / "scenes" / "lake").mkdir(parents=True)
    with pytest.raises(DataError, match="a folder of scenes for each of two places or more, but holds 1"):
        made(sources, tmp_path / "out", scenes=tmp_path / "scenes")
    (tmp_path / "scenes" / "desert").mkdir()
    with pytest.raises(DataError, match=r"desert holds no picture \(\.jpeg, \.jpg, \.png\)"):
        made(sources, tmp_path / "out", scenes=tmp_path / "scenes")
    assert not (tmp_path / "out").exists()


def test_a_damaged_scene_is_named(sources, tmp_path):
    for file in write_scenes(tmp_path / "scenes").rglob("lake*.png"):
        file.write_bytes(f"junk {file.name}".encode())
    with pytest.raises(DataError, match=r"scene lake/lake\d\.png cannot be read"):
        made(sources, tmp_path / "out", scenes=tmp_path / "scenes")
    assert not (tmp_path / "out" / "manifest.json").exists()
