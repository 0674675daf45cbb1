"""Checks of dataset folders, whole and damaged."""

import json
import shutil

import made_photographs
import numpy as np
import pytest
from made_sources import write_sources
from PIL import Image

from bgbias.data.photographs import layout
from bgbias.data.photographs.imagenet9_classes import CLASSES
from bgbias.errors import DataError
from bgbias.prepare.build import check as module
from bgbias.prepare.build.build import build
from bgbias.prepare.build.check import check
from bgbias.prepare.build.settings import BuildSettings


@pytest.fixture(scope="module")
def built_once(tmp_path_factory):
    root = write_sources(tmp_path_factory.mktemp("sources"), each=4)
    asked = BuildSettings(images=root / "images", masks=root / "masks", size=32, ratios=(0.5, 0.0, 0.5))
    build(asked, root / "out", workers=1, skip_bad=False)
    return root / "out"


@pytest.fixture
def built(built_once, tmp_path):
    return shutil.copytree(built_once, tmp_path / "built")


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Photographs without manifest and checksums."""
    monkeypatch.setattr(made_photographs, "COUNTS", {"train": 7, "val": 2, "test": 3})
    return made_photographs.write_photographs(tmp_path / "release")


def found(root, workers=2):
    report = check(root, workers)
    return {finding.problem: finding.where for finding in report.findings}


def remarks(root):
    return {remark.problem: remark.where for remark in check(root, 1).remarks}


def test_what_was_built_is_sound(built_once):
    report = check(built_once, workers=2)
    assert report.is_sound
    assert report.remarks == []
    assert report.counts["train"] == {
        part: {"ant": 2, "bee": 2, "cat": 2} for part in (*layout.VARIANTS, layout.FG_MASK)
    }


def test_what_was_released_is_sound(release):
    assert check(release, workers=2).is_sound
    assert check(release / layout.RELEASE, workers=2).counts.keys() == {"train", "val", "test"}


def test_the_test_set_alone_is_sound_and_so_are_training_parts_alone(release):
    shutil.copytree(release / layout.RELEASE, release.parent / "test" / layout.RELEASE)
    assert check(release.parent / "test", 1).counts.keys() == {"test"}
    assert found(release.parent / "test") == {}
    shutil.rmtree(release / layout.RELEASE)
    shutil.rmtree(release / layout.NO_FG)
    shutil.rmtree(release / layout.FG_MASK)
    assert found(release) == {}


def test_a_build_that_was_stopped_is_named(built):
    (built / ".build").mkdir()
    with pytest.raises(DataError, match="a build that has not ended: the same `study data build` continues it"):
        check(built, 1)


def test_no_dataset_is_refused(tmp_path):
    with pytest.raises(DataError, match="no dataset folder at"):
        check(tmp_path / "none", 1)
    with pytest.raises(DataError, match="holds neither <variant>/train nor bg_challenge/<variant>/val"):
        check(tmp_path, 1)


def only(folder, pattern="*"):
    return min(folder.glob(pattern))


def test_missing_folders_and_files_are_found(release):
    shutil.rmtree(release / layout.RELEASE / layout.NO_FG)
    shutil.rmtree(release / layout.ORIGINAL / layout.VAL)
    shutil.rmtree(release / layout.MIXED_RAND / "train" / "01_bar")
    only(release / layout.FG_MASK / "train" / "00_disc", "*0_3.npy").unlink()
    assert found(release) == {
        "is missing": ["original/val", "bg_challenge/no_fg/val"],
        "holds no files of a class": ["mixed_rand/train/01_bar"],
        "has no mask": ["fg_mask/train/00_disc: train0_3"],
    }


def test_whatever_does_not_belong_is_found_or_remarked(release):
    (release / layout.NO_FG / "notes.txt").touch()
    (release / layout.NO_FG / "train" / "list.txt").touch()
    (release / layout.NO_FG / "train" / "00_disc" / "x.gif").touch()
    (release / layout.NO_FG / "train" / "00_disc" / ".hidden").touch()
    (release / "in9l").mkdir()
    assert found(release) == {"does not belong here": ["no_fg/train/list.txt", "no_fg/train/00_disc/x.gif"]}
    assert remarks(release) == {"is no part of the layout": ["in9l"]}


def test_names_that_do_not_fit_are_found(release):
    folder = release / layout.MIXED_RAND / "train" / "00_disc"
    only(folder, "fg_train0_3_*").rename(folder / "plain.JPEG")
    only(folder, "fg_train0_4_*").rename(folder / "fg_train1_4_bg_train0_0.JPEG")
    only(folder, "fg_train0_5_*").rename(folder / "fg_train0_6_bg_nobody.JPEG")
    place = "mixed_rand/train/00_disc"
    assert found(release) == {
        "is not named fg_<foreground>_bg_<background>": [f"{place}/plain.JPEG"],
        "has no mixed_rand picture": [f"{place}: train0_{index}" for index in (3, 4, 5)],
        "has more than one mixed_rand picture": [f"{place}: train0_6"],
        "is the source of no original": [f"{place}: plain", f"{place}: train1_4"],
    }
    assert remarks(release) == {
        "has the background of no original in its split": [f"{place}/fg_train0_6_bg_nobody.JPEG"]
    }


def test_a_built_folder_is_held_to_its_backgrounds(built):
    folder = built / layout.MIXED_SAME / "train" / "ant"
    first = only(folder)
    front = layout.mixed_sources(first.stem)[0]
    first.rename(folder / f"fg_{front}_bg_nobody.JPEG")
    assert found(built)["has the background of no original in its split"] == [
        f"mixed_same/train/ant/fg_{front}_bg_nobody.JPEG"
    ]


def test_a_source_in_two_splits_is_found(release):
    for part in (*layout.VARIANTS, layout.FG_MASK):
        folder = release / part
        for file in (folder / "train" / "00_disc").glob("*train0_3[._]*"):
            shutil.copy(file, folder / "val" / "00_disc")
    assert found(release)["is a source in both train and val"] == ["00_disc/train0_3"]


def test_damaged_pictures_and_masks_are_found(release):
    folder = release / layout.ONLY_FG / "train" / "00_disc"
    (folder / "train0_1.JPEG").write_bytes((folder / "train0_1.JPEG").read_bytes()[:-200])
    (folder / "train0_2.JPEG").write_bytes(b"junk")
    masks = release / layout.FG_MASK / "train" / "00_disc"
    np.save(masks / "train0_3.npy", np.zeros((32, 32), bool))
    np.save(masks / "train0_4.npy", np.ones((32, 30), bool))
    np.save(masks / "train0_5.npy", np.ones((32, 32, 1), bool))
    (masks / "train0_6.npy").write_bytes(b"")
    problems = found(release)
    assert problems.pop("is a mask of another shape than its picture") == ["fg_mask/train/00_disc/train0_4.npy"]
    assert {problem.partition(" (")[0] for problem in problems} == {"cannot be used"}
    assert sorted(where for places in problems.values() for where in places) == [
        "fg_mask/train/00_disc/train0_3.npy",
        "fg_mask/train/00_disc/train0_5.npy",
        "fg_mask/train/00_disc/train0_6.npy",
        "only_fg/train/00_disc/train0_1.JPEG",
        "only_fg/train/00_disc/train0_2.JPEG",
    ]
    assert any("the mask is empty" in problem for problem in problems)
    assert any("truncated" in problem for problem in problems)


def test_pictures_of_another_size_are_remarked_or_found(release, built):
    for root, notes in ((release, remarks), (built, found)):
        file = only(root / layout.ONLY_FG / "train", "*/*")
        with Image.open(file) as picture:
            picture.resize((30, 32)).save(file)
        assert notes(root)["is not 32 x 32 pixels as most are"] == [file.relative_to(root).as_posix()]


def test_pictures_nearly_of_one_colour_are_remarked(release):
    place = release / layout.ORIGINAL / "train" / "00_disc"
    white = np.full((32, 32, 3), 254, dtype=np.uint8)
    white[:3, :3] = 0
    Image.fromarray(white).save(place / "train0_1.JPEG")
    assert check(release, 1).is_sound
    assert remarks(release) == {"is nearly all of one colour": ["original/train/00_disc/train0_1.JPEG"]}


def test_turned_pictures_are_remarked_and_their_masks_may_be_drawn_either_way(release):
    place, masks = (release / part / "train" / "00_disc" for part in (layout.ORIGINAL, layout.FG_MASK))
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, shape in (("train0_1", (20, 32)), ("train0_2", (32, 20)), ("train0_3", (20, 20))):
        Image.effect_noise((32, 20), 90).save(place / f"{name}.JPEG", exif=exif)
        np.save(masks / f"{name}.npy", np.ones(shape, bool))
    assert found(release) == {"is a mask of another shape than its picture": ["fg_mask/train/00_disc/train0_3.npy"]}
    turned = [f"original/train/00_disc/train0_{index}.JPEG" for index in (1, 2, 3)]
    assert remarks(release)["is turned by an EXIF orientation, so that its variants and masks may not fit"] == turned


def test_two_classes_may_have_pictures_of_one_name(release):
    for part in (*layout.VARIANTS, layout.FG_MASK):
        for split, class_name, name in (("train", "00_disc", "train0_1"), ("val", "01_bar", "val1_0")):
            for file in list((release / part / split / class_name).iterdir()):
                if file.stem == name:
                    file.rename(file.with_stem("0001"))
                elif file.stem.startswith(f"fg_{name}_bg_"):
                    file.rename(file.with_stem(file.stem.replace(f"fg_{name}_", "fg_0001_")))
    assert check(release, 1).is_sound


def test_a_released_background_whose_name_two_classes_have_is_found(release):
    test = release / layout.RELEASE
    for part in (*layout.VARIANTS, layout.FG_MASK):
        for file in list((test / part / "val" / "01_bar").iterdir()):
            if layout.source(file.stem) == "test1_0":
                file.rename(file.with_stem(file.stem.replace("test1_0", "test0_0", 1)))
    shared = {file.relative_to(release).as_posix() for file in test.rglob("*_bg_test0_0.JPEG")}
    assert set(found(release)["has a background whose name several classes have"]) == shared
    assert shared


def test_checksums_are_held(built):
    changed = only(built / layout.ORIGINAL / "train", "*/*.JPEG")
    with Image.open(changed) as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(changed)
    gone = only(built / layout.RELEASE / layout.FG_MASK, "val/*/*.npy")
    gone.unlink()
    added = built / layout.ONLY_FG / "train" / "ant" / "another.JPEG"
    shutil.copy(changed, added)
    problems = found(built)
    assert problems["does not have the checksum that files.sha256 lists"] == [changed.relative_to(built).as_posix()]
    assert problems["is listed in files.sha256 but missing"] == [gone.relative_to(built).as_posix()]
    assert problems["is not listed in files.sha256"] == [added.relative_to(built).as_posix()]


def test_changed_or_missing_checksums_are_found(built):
    sums = built / "files.sha256"
    sums.write_text(sums.read_text() + "\n")
    assert found(built) == {"does not have the checksum that manifest.json gives": ["files.sha256"]}
    (built / "manifest.json").write_text("{}")
    assert found(built) == {"does not have the checksum that manifest.json gives": ["files.sha256"]}
    sums.unlink()
    assert found(built) == {"is missing": ["files.sha256"]}


@pytest.fixture
def imagenet9(release, monkeypatch):
    """The photographs as if they were ImageNet-9, of which 7 train and 3 test pictures a class are expected."""
    monkeypatch.setattr(module, "CLASSES", ("00_disc", "01_bar", "02_frame"))
    monkeypatch.setattr(module, "TRAIN_OF_EACH", 7)
    monkeypatch.setattr(module, "TEST_OF_EACH", 3)
    return release


def test_imagenet9_has_known_counts(imagenet9, monkeypatch):
    assert found(imagenet9) == {}
    monkeypatch.setattr(module, "TRAIN_OF_EACH", 6)
    assert found(imagenet9) == {}
    problem = "does not hold the {} files of a class that ImageNet-9 has"
    assert remarks(imagenet9)[problem.format(6)][0] == "original/train/00_disc: 7"
    monkeypatch.setattr(module, "TEST_OF_EACH", 4)
    monkeypatch.setattr(module, "TRAIN_OF_EACH", 8)
    problems = found(imagenet9)
    assert len(problems[problem.format(4)]) == len(problems[problem.format(8)]) == 9 * 3
    assert problems[problem.format(4)][0] == "bg_challenge/original/val/00_disc: 3"


def test_imagenet9s_uncleaned_val_may_hold_its_test_set(imagenet9):
    for part in (*layout.VARIANTS, layout.FG_MASK):
        for file in (imagenet9 / layout.RELEASE / part / "val" / "00_disc").glob("*"):
            shutil.copy(file, imagenet9 / part / "val" / "00_disc")
    assert found(imagenet9) == {}
    assert remarks(imagenet9)["is a source in both val and test"] == [f"00_disc/test0_{index}" for index in range(3)]


def test_imagenet9_is_what_the_release_holds():
    assert (module.CLASSES, module.TEST_OF_EACH * 9, module.TRAIN_OF_EACH * 9) == (CLASSES, 4_050, 45_405)


def test_the_report_can_be_written_as_json(built_once):
    assert json.loads(json.dumps(check(built_once, 1).counts))["test"]["fg_mask"] == {"ant": 2, "bee": 2, "cat": 2}
