"""Masks of any quality: from boxes, GrabCut, models; widened, narrowed; for a share of the pictures."""

import shutil

import numpy as np
import pytest
import torch
from made_onnx import write_bright
from made_sources import CLASSES, disc, edges, write_sources
from PIL import Image

from bgbias.data.datasets.imagenet9 import Imagenet9
from bgbias.data.photographs import layout
from bgbias.errors import DataError, SettingError, UnknownNameError
from bgbias.prepare.build import finding
from bgbias.prepare.build.build import build, masked_names
from bgbias.prepare.build.check import check
from bgbias.prepare.build.scene_build import build_scenes
from bgbias.prepare.build.settings import BuildSettings, SceneSettings
from bgbias.prepare.build.variants import Box, bounding_box
from bgbias.types import OWN_BACKGROUND

EACH, SIZE = 10, 32


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = write_sources(tmp_path_factory.mktemp("sources"), CLASSES, EACH)
    write_bright(root / "bright.onnx")
    return root


def made(root, out, **changed):
    given = {"images": root / "images", "masks": root / "masks", "size": SIZE, "ratios": (0.6, 0.2, 0.2), **changed}
    return build(BuildSettings(**given), out, 2, False)


def masks_of(out, split):
    return {file.stem: np.load(file) for file in layout.split_folder(out, layout.FG_MASK, split).rglob("*.npy")}


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def test_a_mask_grows_by_squares_and_shrinks_back():
    mask = np.zeros((7, 7), dtype=bool)
    mask[3, 3] = True
    wide = finding.grown(mask, 2)
    assert wide.sum() == 25
    assert wide[1:6, 1:6].all()
    assert np.array_equal(finding.grown(wide, -2), mask)
    assert not finding.grown(mask, -1).any()
    assert finding.grown(np.ones((5, 5), dtype=bool), -1).sum() == 9  # what lies beyond the border is no object


def test_scores_are_a_mask_by_half_or_by_the_highest_channel():
    one = torch.tensor([[[[0.4, 0.6], [0.5, 0.9]]]])
    assert finding.mask_of(one, 2, 2).tolist() == [[False, True], [False, True]]
    assert finding.mask_of(one[:, 0], 2, 2).tolist() == [[False, True], [False, True]]
    several = torch.tensor([[[[3.0, 0.0]], [[1.0, 1.0]], [[2.0, -1.0]]]])
    assert finding.mask_of(several, 1, 2).tolist() == [[False, True]]
    with pytest.raises(DataError, match=r"gives scores \[1, C, H, W\] for a picture, but this one gives \[1, 5\]"):
        finding.mask_of(torch.zeros(1, 5), 2, 2)


@pytest.mark.parametrize("shape", [("n", 3, "h", "w"), (1, 3, 64, 64)])
def test_an_onnx_model_finds_the_object(tmp_path, shape):
    picture, mask = disc(np.random.default_rng(3), (60, 60, 150))
    find = finding.finder(str(write_bright(tmp_path / "bright.onnx", shape=shape)), None, 0)
    found = find(picture, None)
    assert found.shape == mask.shape
    assert overlap(found, mask) > (0.99 if shape[0] == "n" else 0.9)
    assert np.array_equal(find(picture, None), found)
    wide = finding.finder(str(tmp_path / "bright.onnx"), None, 1)(picture, None)
    assert np.array_equal(wide, finding.grown(found, 1))


def test_a_torchvision_model_finds_what_is_no_background(tmp_path):
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith(("classifier.low_classifier", "classifier.high_classifier")):
                parameter.zero_()
        network.classifier.high_classifier.bias[2] = 1.0
    torch.save(network.state_dict(), tmp_path / "w.pt")
    picture = np.full((40, 48, 3), 90, dtype=np.uint8)
    assert finding.finder("lraspp_mobilenet_v3_large", tmp_path / "w.pt", 0)(picture, None).all()
    with torch.no_grad():
        network.classifier.high_classifier.bias[0] = 2.0
    torch.save(network.state_dict(), tmp_path / "w.pt")
    assert not finding.finder("lraspp_mobilenet_v3_large", tmp_path / "w.pt", 0)(picture, None).any()
    with pytest.raises(DataError, match=r"w\.pt holds no weights of fcn_resnet50 \(missing backbone\.conv1\.weight"):
        finding.finder("fcn_resnet50", tmp_path / "w.pt", 0)


def test_given_masks_become_boxes_in_train_and_val_and_stay_in_test(sources, tmp_path):
    exact, boxed = tmp_path / "exact", tmp_path / "boxed"
    made(sources, exact)
    manifest = made(sources, boxed, masks_from="box")
    assert manifest["build"]["settings"]["masks_from"] == "box"
    assert "unmasked" not in manifest
    for split in layout.SPLITS:
        one, other = masks_of(exact, split), masks_of(boxed, split)
        assert one.keys() == other.keys()
        for name, mask in one.items():
            box = bounding_box(mask)
            expected = finding.in_box(np.zeros((SIZE, SIZE, 3), np.uint8), box) if split != layout.TEST else mask
            assert np.array_equal(other[name], expected)
    test = layout.split_folder(exact, layout.MIXED_RAND, layout.TEST)
    for file in test.rglob("*.JPEG"):
        assert file.read_bytes() == (boxed / file.relative_to(exact)).read_bytes()
    assert check(boxed, 2).is_sound


@pytest.mark.parametrize(("how", "least"), [("grabcut", 0.9), ("bright.onnx", 0.93)])
def test_given_masks_are_found_anew(sources, tmp_path, how, least):
    name = how if how == "grabcut" else str(sources / how)
    made(sources, tmp_path / "exact")
    made(sources, tmp_path / "found", masks_from=name)
    exact, found = masks_of(tmp_path / "exact", layout.TRAIN), masks_of(tmp_path / "found", layout.TRAIN)
    assert exact.keys() == found.keys()
    assert np.mean([overlap(exact[key], found[key]) for key in exact]) > least


def test_a_model_needs_neither_masks_nor_boxes(sources, tmp_path):
    manifest = made(sources, tmp_path / "out", masks=None, masks_from=str(sources / "bright.onnx"))
    made(sources, tmp_path / "exact")
    assert sum(manifest["counts"]["test"].values()) == 3 * 2
    for split in layout.SPLITS:
        exact, found = masks_of(tmp_path / "exact", split), masks_of(tmp_path / "out", split)
        assert exact.keys() == found.keys()
        assert min(overlap(exact[key], found[key]) for key in exact) > 0.85


def test_boxes_are_masks_where_they_are_asked_for(sources, tmp_path):
    made(sources, tmp_path / "out", masks=None, boxes=sources / "boxes.csv", masks_from="box", masks_grow=-1)
    for mask in masks_of(tmp_path / "out", layout.TEST).values():
        assert np.array_equal(mask, finding.in_box(np.zeros((SIZE, SIZE, 3), np.uint8), Box(*map(int, edges(mask)))))


def test_only_a_share_of_training_pictures_has_masks_and_all_are_trained_on(sources, tmp_path):
    whole = made(sources, tmp_path / "whole")
    manifest = made(sources, tmp_path / "out", masks_share=0.5)
    assert manifest["unmasked"] == dict.fromkeys(CLASSES, 3)
    assert manifest["counts"] == whole["counts"]
    assert manifest["build"]["settings"]["masks_share"] == 0.5
    assert check(tmp_path / "out", 2).is_sound
    assert not check(tmp_path / "out", 2).remarks
    full, some = (Imagenet9(size=SIZE).load(tmp_path / name) for name in ("whole", "out"))
    assert len(full.train) == len(some.train) == 18
    everything = torch.arange(18)
    assert int(some.train.foregrounds.mask[everything].flatten(1).all(dim=1).sum()) == 9
    shown, all_of = (one.train.batch(everything).image.flatten(1).sum(dim=1).sort().values for one in (some, full))
    assert torch.equal(shown, all_of)  # the same pictures
    assert (some.train.assignment == OWN_BACKGROUND).all()
    assert len(some.train.backgrounds) == 9


def test_a_larger_share_holds_a_smaller_one():
    names = [f"a{number}" for number in range(20)]
    assert set(masked_names(names, 0.25, 1)) < set(masked_names(names, 0.5, 1))
    assert len(masked_names(names, 0.25, 1)) == 5
    assert masked_names(names, 1.0, 1) == sorted(names)


def test_pictures_whose_object_is_not_found_have_no_mask(sources, tmp_path):
    """One small mask a split, which narrowing empties: unmasked in train, left out of val, as it is in test."""
    copy, ratios = shutil.copytree(sources, tmp_path / "sources"), (0.4, 0.3, 0.3)
    made(sources, tmp_path / "exact", ratios=ratios)
    small = {split: min(masks_of(tmp_path / "exact", split)) for split in layout.SPLITS}
    assert set(small.values()) <= {f"ant_{number}" for number in range(EACH)}
    for name in small.values():
        mask = np.zeros((40, 48), dtype=np.uint8)
        mask[18:22, 20:24] = 255
        Image.fromarray(mask).save(copy / "masks" / "ant" / f"{name}.png")
    manifest = made(copy, tmp_path / "out", ratios=ratios, masks_grow=-2)
    assert manifest["unmasked"] == {"ant": 1, "bee": 0, "cat": 0}
    assert (tmp_path / "out" / "unmasked" / "train" / "ant" / f"{small['train']}.JPEG").is_file()
    assert manifest["counts"]["val"] == {"ant": 2, "bee": 3, "cat": 3}
    assert small["val"] not in masks_of(tmp_path / "out", layout.VAL)
    assert masks_of(tmp_path / "out", layout.TEST)[small["test"]].any()
    with pytest.raises(DataError, match="every class needs 2 kept pictures in each split to be mixed, but ant has 0"):
        made(copy, tmp_path / "none", masks_grow=-12)


def test_a_waterbirds_has_masks_of_any_quality_too(sources, tmp_path):
    for place, color in (("lake", 200), ("moor", 60), ("town", 90)):
        (tmp_path / "scenes" / place).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (40, 40), (color, number, 0)).save(tmp_path / "scenes" / place / f"{number}.png")
    given = {"images": sources / "images", "masks": sources / "masks", "scenes": tmp_path / "scenes", "size": 20}
    exact = SceneSettings(**given, ratios=(0.6, 0.2, 0.2))
    rough = SceneSettings(**given, ratios=(0.6, 0.2, 0.2), masks_from="box", masks_share=0.5)
    build_scenes(exact, tmp_path / "exact", 2, False)
    build_scenes(rough, tmp_path / "rough", 2, False)
    first, second = tmp_path / "exact", tmp_path / "rough"
    assert (first / "metadata.csv").read_bytes() == (second / "metadata.csv").read_bytes()
    assert all(file.read_bytes() == (second / file.relative_to(first)).read_bytes() for file in first.rglob("*.jpg"))
    masks = {file.relative_to(second) for file in (second / "masks").rglob("*.png")}
    assert len(masks) == 3 * (3 + 2 * 3 + 2 * 3)
    splits = dict(line.split(",")[1:4:2] for line in (first / "metadata.csv").read_text().splitlines()[1:])
    for name in masks:
        one, other = (np.asarray(Image.open(folder / name)) for folder in (first, second))
        split = splits[name.relative_to("masks").with_suffix(".jpg").as_posix()]
        assert np.array_equal(one, other) == (split == "2")


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"masks": None}, SettingError, r"none were given: give one of the two, or a model that finds them"),
        ({"masks": None, "masks_from": "box"}, SettingError, "none were given"),
        (
            {"masks_from": "unet"},
            UnknownNameError,
            "unknown source of masks 'unet': choose one of FILE.onnx, box",
        ),
        (
            {"masks_from": "fcn_resnet50"},
            SettingError,
            "finds objects by its weights, but got none: give",
        ),
        ({"masks_from": "none.onnx"}, DataError, "no model at none.onnx"),
        ({"masks_from": "two.onnx"}, DataError, r"and one output, but .*two\.onnx has 1 and 2 \(mask0, mask1\)"),
        ({"masks_from": "box", "masks_weights": "w.pt"}, SettingError, "--masks-weights are of a segmentation model"),
    ],
)
def test_what_cannot_find_objects_is_refused(sources, tmp_path, monkeypatch, changed, error, message):
    monkeypatch.chdir(tmp_path)
    write_bright(tmp_path / "two.onnx", outputs=2)
    with pytest.raises(error, match=message):
        made(sources, tmp_path / "out", **changed)
    assert not (tmp_path / "out").exists()
