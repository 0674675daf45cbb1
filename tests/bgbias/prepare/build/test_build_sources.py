import re

import numpy as np
import pytest
from made_sources import EACH, write_sources

from bgbias.errors import DataError
from bgbias.prepare.build.imagenet import imagenet9_folders
from bgbias.prepare.build.sources import find_sources, list_classes

XML = """<annotation><folder>x</folder><size><width>48</width></size>{}</annotation>"""
OBJECT = "<object><name>n1</name><bndbox><xmin>{}</xmin><ymin>2</ymin><xmax>30</xmax><ymax>20</ymax></bndbox></object>"


@pytest.fixture
def root(tmp_path):
    return write_sources(tmp_path, classes=("ant", "bee"), each=2)


def listed(root, masks=None, boxes=None):
    classes = list_classes(root / "images")
    return find_sources(root / "images", {name: name for name in classes}, masks, boxes, longest=100)


def test_pictures_find_their_masks(root):
    mask = root / "masks" / "bee" / "bee_0.png"
    mask.unlink()
    np.save(mask.with_suffix(".npy"), np.ones((40, 48)))
    (root / "images" / ".hidden").mkdir()
    (root / "images" / "ant" / ".thumbs").touch()
    found = listed(root, masks=root / "masks")
    assert [source.key for source in found.sources] == ["ant/ant_0", "ant/ant_1", "bee/bee_0", "bee/bee_1"]
    assert [source.mask.name for source in found.sources] == ["ant_0.png", "ant_1.png", "bee_0.npy", "bee_1.png"]
    assert found.faults == {}


def test_what_cannot_be_used_is_collected(root):
    (root / "masks" / "ant" / "ant_0.png").unlink()
    np.save(root / "masks" / "ant" / "ant_1.npy", np.ones((40, 48)))
    (root / "images" / "bee" / "notes.txt").touch()
    found = listed(root, masks=root / "masks")
    assert [source.key for source in found.sources] == ["bee/bee_0", "bee/bee_1"]
    assert found.faults == {
        "bee/notes.txt": "no picture (.jpeg, .jpg, .png)",
        "ant/ant_0": "no mask",
        "ant/ant_1": "two masks, ant_1.npy and ant_1.png",
    }


def test_a_csv_file_names_pictures_with_or_without_class_and_ending(root):
    lines = [
        "ant/ant_0,1,2,30.5,20",
        "ant_1.png, 3,2,30,20",
        "",
        "bee/bee_0.JPG,1,2,3,4",
        "bee_0,5,6,7,8",
        "bee_1,1,1,9,9",
    ]
    (root / "boxes.csv").write_text("\ufeffName,Left,Top,Right,Bottom\r\n" + "\r\n".join(lines), encoding="utf-8")
    found = listed(root, boxes=root / "boxes.csv")
    assert {source.key: source.boxes for source in found.sources} == {
        "ant/ant_0": ((1, 2, 30.5, 20),),
        "ant/ant_1": ((3, 2, 30, 20),),
        "bee/bee_0": ((1, 2, 3, 4), (5, 6, 7, 8)),
        "bee/bee_1": ((1, 1, 9, 9),),
    }
    assert found.faults == {}


def test_lines_that_are_no_boxes_are_collected(root):
    lines = ["ant_0,1,2,30,20", "ant_1,1,2,3", "ant_1,5,2,5,4", "ant_1,1,2,nan,4", "fly_0,1,2,3,4", "bee_0,1,1,9,9"]
    (root / "boxes.csv").write_text("\n".join(lines))
    form = "not <class>/<name>,<left>,<top>,<right>,<bottom>"
    assert listed(root, boxes=root / "boxes.csv").faults == {
        "boxes.csv, line 2": form,
        "boxes.csv, line 3": form,
        "boxes.csv, line 4": form,
        "boxes.csv, line 5": "names no picture: fly_0",
        "ant/ant_1": "no box",
        "bee/bee_1": "no box",
    }


def test_annotations_give_boxes_and_choose_the_pictures(root):
    folder = root / "xml" / "ant"
    folder.mkdir(parents=True)
    (folder / "ant_0.xml").write_text(XML.format(OBJECT.format(1) + OBJECT.format(4)))
    found = listed(root, boxes=root / "xml")
    assert [(source.key, source.boxes) for source in found.sources] == [("ant/ant_0", ((1, 2, 30, 20), (4, 2, 30, 20)))]
    assert found.faults == {}

    (folder / "ant_1.xml").write_text(XML.format(OBJECT.format("far")))
    (folder / "ant_0.xml").write_text("<annotation>")
    (folder / "fly_0.xml").write_text(XML.format(OBJECT.format(1)))
    wrong = "no annotation with <object><bndbox> and four edges each"
    assert listed(root, boxes=root / "xml").faults == {
        "ant/ant_0.xml": wrong,
        "ant/ant_1.xml": wrong,
        "ant/fly_0.xml": "annotates no picture",
    }


def test_masks_may_have_any_ending_case_and_lie_in_one_folder(root):
    flat = root / "flat"
    flat.mkdir()
    names = {
        "ant/ant_0": "ant_0.PNG",
        "ant/ant_1": "ant-ant_1.Png",
        "bee/bee_0": "bee_bee_0.png",
        "bee/bee_1": "bee_1.NPY",
    }
    for key, name in names.items():
        (root / "masks" / f"{key}.png").rename(flat / name)
    found = listed(root, masks=flat)
    assert found.faults == {}
    assert {source.key: source.mask.name for source in found.sources} == names


def test_a_mask_of_another_kind_is_named(root):
    for name in ("ant_0.jpg", "ant_1.gif"):
        (root / "masks" / "ant" / name).with_suffix(".png").rename(root / "masks" / "ant" / name)
    assert listed(root, masks=root / "masks").faults == {
        "ant/ant_0": "no mask, as ant_0.jpg is neither .png nor .npy",
        "ant/ant_1": "no mask, as ant_1.gif is neither .png nor .npy",
    }


def test_two_classes_may_have_pictures_of_one_name(root):
    for kind in ("images", "masks"):
        for class_name in ("ant", "bee"):
            (root / kind / class_name / f"{class_name}_0.png").rename(root / kind / class_name / "0001.png")
    found = listed(root, masks=root / "masks")
    assert found.faults == {}
    assert [(source.key, source.name) for source in found.sources] == [
        ("ant/0001", "ant-0001"),
        ("ant/ant_1", "ant_1"),
        ("bee/0001", "bee-0001"),
        ("bee/bee_1", "bee_1"),
    ]
    assert [source.mask.parent.name for source in found.sources] == ["ant", "ant", "bee", "bee"]

    flat = root / "flat"
    flat.mkdir()
    for name in ("0001", "ant_1", "bee_1", "bee-0001"):
        (flat / f"{name}.PNG").touch()
    assert listed(root, masks=flat).faults == {
        "ant/0001": "no mask of its own, as ant/0001 and bee/0001 share 0001.PNG: call it ant-0001"
    }
    (root / "boxes.csv").write_text(
        "0001,1,2,30,20\nant/0001,1,2,30,20\nbee/0001.png,1,2,30,20\nant_1,1,1,9,9\nbee_1,1,1,9,9"
    )
    assert listed(root, boxes=root / "boxes.csv").faults == {
        "boxes.csv, line 1": "names several pictures, ant/0001 and bee/0001: write the class too"
    }


def test_pictures_in_folders_below_their_class_are_named_by_folder(root):
    for kind in ("images", "masks"):
        for number in (0, 1):
            below = root / kind / "ant" / f"day{number}"
            below.mkdir()
            (root / kind / "ant" / f"ant_{number}.png").rename(below / "x.png")
    found = listed(root, masks=root / "masks")
    assert found.faults == {}
    assert [(source.key, source.name) for source in found.sources[:2]] == [
        ("ant/day0/x", "day0-x"),
        ("ant/day1/x", "day1-x"),
    ]


@pytest.mark.parametrize("name", ["fg_x", "bg_x", "a_bg_b", "x_bg", "fg_a_bg_b"])
def test_names_that_mixed_pictures_could_not_tell_apart_are_faults(root, name):
    (root / "images" / "ant" / "ant_0.png").rename(root / "images" / "ant" / f"{name}.png")
    assert "cannot be read back from a mixed picture's name" in listed(root, masks=root / "masks").faults[f"ant/{name}"]


def test_two_pictures_of_one_name_in_a_class_are_a_fault(root):
    (root / "images" / "ant" / "ant_0.jpg").touch()
    assert listed(root, masks=root / "masks").faults == {
        "ant/ant_0": "pictures of one name, ant_0.jpg and ant_0.png: rename one"
    }


def test_missing_folders_are_refused(root):
    (root / "empty").mkdir()
    with pytest.raises(DataError, match="no folder of pictures at"):
        list_classes(root / "none")
    with pytest.raises(DataError, match="holds no class folders"):
        list_classes(root / "empty")
    with pytest.raises(DataError, match="no folder of masks at"):
        listed(root, masks=root / "none")
    with pytest.raises(DataError, match=r"none cannot be read \(No such file or directory\): give a CSV file"):
        listed(root, boxes=root / "none")


def test_a_folder_for_each_of_the_1000_synsets_is_numbered_by_rank():
    synsets = [f"n{number:08}" for number in range(5, 1005)]
    found = imagenet9_folders(synsets, None)
    assert len(found) == 370
    assert found["n00000005"] == "08_fish"  # index 0
    assert found["n00000156"] == "00_dog"  # index 151
    assert "n00000286" not in found  # index 281


def test_some_synset_folders_need_the_list_of_all(tmp_path):
    synsets = [f"n{number:08}" for number in range(1000)]
    folders = ["n00000007", "n00000151", "n00000999"]
    with pytest.raises(DataError, match="names 3: give --synsets FILE"):
        imagenet9_folders(folders, None)
    file = tmp_path / "synsets.txt"
    file.write_text("".join(f"{synset} some words\n" for synset in reversed(synsets)))
    assert imagenet9_folders(folders, file) == {"n00000007": "01_bird", "n00000151": "00_dog"}
    with pytest.raises(DataError, match="'ant' is not: move it away"):
        imagenet9_folders([*folders, "ant"], file)
    for text in ("\n".join(synsets[:-1]), "\n".join([*synsets[:-1], synsets[0]]), "\n".join([*synsets[:-1], "x"])):
        file.write_text(text)
        with pytest.raises(DataError, match=re.escape(f"{file} names 999")):
            imagenet9_folders(folders, file)
    with pytest.raises(DataError, match="cannot be read"):
        imagenet9_folders(folders, tmp_path / "none")


def test_made_sources_are_as_they_say(tmp_path):
    root = write_sources(tmp_path)
    assert len(listed(root, masks=root / "masks").sources) == len(listed(root, boxes=root / "boxes.csv").sources)
    assert len(listed(root, boxes=root / "boxes.csv").sources) == 3 * EACH
