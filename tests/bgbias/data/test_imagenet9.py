"""ImageNet-9's layout as foregrounds, backgrounds and assignments."""

import shutil

import numpy as np
import pytest
import torch
from made_photographs import CLASSES, COUNTS, SIDE, box
from PIL import Image

from bgbias.data.dataset import Released
from bgbias.data.datasets.imagenet9 import Imagenet9
from bgbias.data.photographs import layout
from bgbias.data.photographs.mixing import beside_box
from bgbias.data.photographs.reader import decode_only_fg
from bgbias.errors import DataError
from bgbias.methods.erm import Erm
from bgbias.models.compact_cnn import CompactCnn
from bgbias.optimization import Training
from bgbias.prepare.build.check import check
from bgbias.training import Trainer
from bgbias.types import NO_BACKGROUND, OWN_BACKGROUND

JPEG_ERROR, MEAN_JPEG_ERROR = 0.15, 0.015
"""Of 1: what encoding the parts and the mixed picture, each once, may change in a pixel."""


@pytest.fixture(scope="module")
def dataset(load):
    return load("imagenet9", size=SIDE)


@pytest.fixture
def folder(photographs_folder, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(photographs_folder, tmp_path / "copy", ignore=shutil.ignore_patterns(".banks"))


def read(folder, **options):
    return Imagenet9(size=SIDE, **options).load(folder)


def bare(key):
    """A source's name without its class."""
    return key.partition("/")[2]


def picture(root, variant, split, label, name):
    file = layout.split_folder(root, variant, split) / CLASSES[label] / f"{name}.JPEG"
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1).float() / 255


def test_originals_are_their_files_to_the_bit(dataset, photographs_folder):
    test = dataset.test["original"]
    for i in range(len(test)):
        label, key = int(test.foregrounds.label[i]), dataset.source_names[test.foregrounds.source[i]]
        assert key == f"{CLASSES[label]}/{bare(key)}"
        expected = picture(photographs_folder, layout.ORIGINAL, layout.TEST, label, bare(key))
        assert torch.equal(test.batch(torch.tensor([i])).image[0], expected)


def test_the_test_sets_variants_are_the_released_files(dataset, photographs_folder):
    names = dataset.test_background_names
    for variant in layout.MIXED:
        shown = dataset.test[variant]
        assert isinstance(shown, Released)
        for i in range(len(shown)):
            label, front = int(shown.foregrounds.label[i]), dataset.source_names[shown.foregrounds.source[i]]
            name = layout.mixed_name(bare(front), bare(names[shown.assignment[i]]))
            expected = picture(photographs_folder, variant, layout.TEST, label, name)
            assert torch.equal(shown.batch(torch.tensor([i])).image[0], expected)


def test_mixed_pictures_composed_from_their_parts_are_the_released_ones_but_for_the_encoder(dataset):
    for variant in layout.MIXED:
        shown = dataset.test[variant]
        everything = torch.arange(len(shown))
        change = (shown.batch(everything).image - shown.composed().batch(everything).image).abs()
        assert change.max() < JPEG_ERROR
        assert change.mean() < MEAN_JPEG_ERROR


def test_validation_variants_are_composed_from_validation_pictures(dataset):
    variants = dataset.validation
    everything = torch.arange(len(variants["original"]))
    image = {name: variant.batch(everything).image for name, variant in variants.items()}
    mask = variants["original"].batch(everything).mask.expand_as(image["original"])
    assert torch.equal(image["only_fg"] + image["no_fg"], image["original"])
    assert not image["only_fg"][~mask].any()
    assert not image["no_fg"][mask].any()
    behind = variants["original"].backgrounds.image
    for name in layout.MIXED:
        assert torch.equal(image[name][mask], image["original"][mask])
        tiles = behind[variants[name].assignment].float() / 255
        torch.testing.assert_close(image[name][~mask], tiles[~mask])
    assert torch.equal(image["only_bg_t"], behind[everything] / 255)
    boxes = torch.from_numpy(np.stack([box(one) for one in variants["original"].batch(everything).mask[:, 0].numpy()]))
    inside = boxes[:, None].expand_as(image["original"])
    assert not image["only_bg_b"][inside].any()
    assert torch.equal(image["only_bg_b"][~inside], image["original"][~inside])


def test_backgrounds_have_the_classes_that_their_variants_promise(dataset):
    for variants in (dataset.validation, dataset.test):
        for name, step in ((layout.MIXED_SAME, 0), (layout.MIXED_NEXT, 1)):
            shown = variants[name]
            expected = (shown.foregrounds.label + step) % 3
            assert torch.equal(shown.backgrounds.place[shown.assignment], expected)
        assert (variants["original"].assignment == OWN_BACKGROUND).all()
    assert (dataset.validation["only_fg"].assignment == NO_BACKGROUND).all()


def test_a_share_of_the_training_sources_is_held_out_by_class(folder):
    dataset = read(folder, validation_share=0.25)
    assert torch.bincount(dataset.train.foregrounds.label).tolist() == [15, 15, 15]
    held_out = dataset.validation["original"]
    assert torch.bincount(held_out.foregrounds.label).tolist() == [5, 5, 5]
    train, validation = set(dataset.train.foregrounds.source.tolist()), set(held_out.foregrounds.source.tolist())
    assert train.isdisjoint(validation)
    assert len(dataset.train.backgrounds) == 45
    assert len(held_out.backgrounds) == 15
    names = {dataset.source_names[source] for source in train | validation}
    assert all(bare(name).startswith("train") for name in names)


def test_another_split_seed_holds_out_others(folder):
    first, other = (
        set(read(folder, split_seed=seed).validation["original"].foregrounds.source.tolist()) for seed in (0, 1)
    )
    assert first != other


def test_a_folder_built_here_keeps_its_own_validation_split(folder):
    (folder / "manifest.json").write_text("{}")
    dataset = read(folder)
    assert len(dataset.train) == 3 * COUNTS[layout.TRAIN]
    names = {dataset.source_names[source] for source in dataset.validation["original"].foregrounds.source.tolist()}
    assert len(names) == 3 * COUNTS[layout.VAL]
    assert all(bare(name).startswith("val") for name in names)
    assert len(read(folder, validation_share=0.1).train) == 54


def test_the_test_set_is_never_drawn_from(dataset):
    used = {source for v in [dataset.train, *dataset.validation.values()] for source in v.foregrounds.source.tolist()}
    assert not any(bare(dataset.source_names[source]).startswith("test") for source in used)


def test_masks_come_from_only_fg_where_none_are_given(folder):
    given = read(folder).train
    shutil.rmtree(folder / "fg_mask" / "train")
    derived = read(folder).train
    everything = torch.arange(len(given))
    one, other = given.batch(everything).mask, derived.batch(everything).mask
    overlap = (one & other).sum(dim=(1, 2, 3)) / (one | other).sum(dim=(1, 2, 3))
    # a thin frame counts as filled, since holes are
    assert overlap[given.foregrounds.label != 2].min() > 0.8
    assert (one & ~other).float().mean() < 0.01


def test_a_derived_mask_has_neither_holes_nor_specks(tmp_path):
    shown = np.zeros((24, 24, 3), dtype=np.uint8)
    shown[6:16, 6:16] = 200
    shown[10, 10] = 0
    shown[20, 20] = 200
    shown[2:4, 2:9] = 9
    Image.fromarray(shown).save(tmp_path / "picture.png")
    found = np.unpackbits(decode_only_fg(24)(tmp_path / "picture.png"), axis=-1)[:, :24].astype(bool)
    assert found[7:15, 7:15].all()
    assert not found[:6].any()
    assert not found[16:].any()


def test_what_lies_beside_a_bounding_box():
    mask = torch.zeros(1, 1, 4, 5, dtype=torch.bool)
    mask[0, 0, 1, 3] = mask[0, 0, 2, 1] = True
    assert (~beside_box(mask))[0, 0].int().tolist() == [[0] * 5, [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0] * 5]


def test_missing_and_unreadable_pictures_stop_with_their_names(folder):
    file = layout.split_folder(folder, layout.ORIGINAL, layout.TRAIN) / CLASSES[0] / "train0_3.JPEG"
    file.write_bytes(file.read_bytes()[:100])
    (layout.split_folder(folder, layout.FG_MASK, layout.TRAIN) / CLASSES[1] / "train1_4.npy").unlink()
    with pytest.raises(DataError, match="dataset/faulty=skip") as error:
        read(folder)
    assert "2 faults" in str(error.value)
    assert "train0_3.JPEG cannot be read" in str(error.value)
    assert "train picture 01_bar/train1_4 has no readable fg_mask" in str(error.value)


def test_they_are_left_out_if_asked(folder):
    (layout.split_folder(folder, layout.FG_MASK, layout.TRAIN) / CLASSES[1] / "train1_4.npy").unlink()
    (layout.split_folder(folder, layout.NO_FG, layout.TEST) / CLASSES[1] / "test1_4.JPEG").unlink()
    dataset = read(folder, faulty="skip")
    used = [dataset.train, dataset.validation["original"]]
    assert sum(len(variant) for variant in used) == 59
    names = {dataset.source_names[source] for variant in used for source in variant.foregrounds.source.tolist()}
    assert "01_bar/train1_4" not in names
    assert len(dataset.test["no_fg"]) == 23
    assert len(dataset.test["original"]) == 24


def test_a_mixed_picture_of_unknown_parts_is_named(folder):
    place = layout.split_folder(folder, layout.MIXED_RAND, layout.TEST) / CLASSES[0]
    shutil.copy(next(place.iterdir()), place / "fg_test0_0_bg_elsewhere.JPEG")
    with pytest.raises(DataError, match="fg_test0_0_bg_elsewhere is made of no known pictures"):
        read(folder)


def test_a_class_without_pictures_in_a_split_is_named(folder):
    for file in (layout.split_folder(folder, layout.ONLY_BG_T, layout.TEST) / CLASSES[1]).iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"has no picture of 01_bar .*has no readable only_bg_t.*: add some"):
        read(folder)


def test_two_pictures_of_one_name_in_a_class_and_unknown_classes_are_faults(folder):
    place = layout.split_folder(folder, layout.ORIGINAL, layout.TRAIN)
    shutil.copy(place / CLASSES[0] / "train0_0.JPEG", place / CLASSES[0] / "train0_0.png")
    elsewhere = layout.split_folder(folder, layout.NO_FG, layout.TEST) / "unknown"
    elsewhere.mkdir()
    shutil.copy(place / CLASSES[0] / "train0_0.JPEG", elsewhere / "another.JPEG")
    with pytest.raises(DataError, match="dataset/faulty=skip") as error:
        read(folder)
    assert "train0_0.png has the name of another picture of its class" in str(error.value)
    assert "another.JPEG is of no class that the originals have" in str(error.value)


def renamed(folder, part, split, label, old, new):
    for file in (layout.split_folder(folder, part, split) / CLASSES[label]).glob(f"{old}.*"):
        file.rename(file.with_stem(new))


def test_two_classes_may_have_pictures_of_one_name(folder):
    for part in (layout.ORIGINAL, layout.ONLY_BG_T, layout.FG_MASK):
        for label in (0, 1):
            renamed(folder, part, layout.TRAIN, label, f"train{label}_0", "0001")
    train = read(folder, validation_share=0.25).train
    assert len(train) == 45
    (folder / "manifest.json").write_text("{}")
    dataset = read(folder)
    for label in (0, 1):
        source = dataset.source_names.index(f"{CLASSES[label]}/0001")
        (i,) = (dataset.train.foregrounds.source == source).nonzero()[:, 0].tolist()
        shown = dataset.train.batch(torch.tensor([i]))
        assert shown.label.tolist() == [label]
        assert torch.equal(shown.image[0], picture(folder, layout.ORIGINAL, layout.TRAIN, label, "0001"))


def test_a_released_background_whose_name_two_classes_have_is_named(folder):
    single = (layout.ORIGINAL, layout.ONLY_BG_T, layout.FG_MASK, layout.ONLY_FG, layout.NO_FG, layout.ONLY_BG_B)
    for part in single:
        renamed(folder, part, layout.TEST, 1, "test1_0", "test0_0")
    with pytest.raises(DataError, match=r"mixed_.*/fg_.*_bg_test0_0 has a background whose name several classes have"):
        read(folder)


def test_hidden_entries_are_no_classes_and_no_pictures(folder):
    first = read(folder)
    for part in (*layout.VARIANTS, layout.FG_MASK):
        for split in layout.SPLITS:
            place = layout.split_folder(folder, part, split)
            shutil.copytree(place / CLASSES[0], place / ".ipynb_checkpoints")
            for file in list((place / CLASSES[0]).iterdir()):
                shutil.copy(file, file.with_name(f"._{file.name}"))
            (place / "Thumbs.db").touch()
            (place / CLASSES[0] / "Thumbs.db").touch()
    second = read(folder)
    assert second.classes == first.classes == CLASSES
    assert second.source_names == first.source_names
    assert check(folder, 1).is_sound


def test_a_picture_is_turned_as_it_is_shown_and_its_mask_too(folder):
    file = layout.split_folder(folder, layout.ORIGINAL, layout.TRAIN) / CLASSES[0] / "train0_3.JPEG"
    mask = layout.split_folder(folder, layout.FG_MASK, layout.TRAIN) / CLASSES[0] / "train0_3.npy"
    with Image.open(file) as opened:
        wide = opened.resize((48, SIDE))
    drawn = np.zeros((SIDE, 48), dtype=bool)
    drawn[4:9, 12:20] = True
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise shows it upright
    wide.save(file.with_suffix(".png"), exif=exif)
    file.unlink()
    (folder / "manifest.json").write_text("{}")
    shown = []
    for stored in (drawn, np.rot90(drawn, -1)):
        np.save(mask, stored)
        dataset = read(folder)
        source = dataset.source_names.index(f"{CLASSES[0]}/train0_3")
        i = (dataset.train.foregrounds.source == source).nonzero()[0]
        shown.append(dataset.train.batch(i))
    for batch in shown:
        assert torch.equal(batch.mask[0, 0], torch.from_numpy(np.rot90(drawn, -1)[8:40].copy()))
        expected = np.rot90(np.asarray(wide), -1)[8:40].copy()
        assert torch.equal(batch.image[0], torch.from_numpy(expected).permute(2, 0, 1).float() / 255)


def test_the_released_test_set_alone_can_be_judged_on_but_not_trained_on(folder):
    for part in (*layout.VARIANTS, layout.FG_MASK):
        shutil.rmtree(folder / part)
    dataset = read(folder)
    assert len(dataset.train) == 0
    assert dataset.validation == {}
    assert len(dataset.test["mixed_rand"]) == 24
    assert dataset.image_shape == (3, SIDE, SIDE)
    assert len(read(folder / layout.RELEASE).test["original"]) == 24
    with pytest.raises(DataError, match="no training pictures"):
        Trainer(Erm(), CompactCnn(), dataset, Training(), 0, torch.device("cpu"))


def test_further_pictures_are_trained_on_as_they_are(folder):
    own = layout.split_folder(folder, layout.ORIGINAL, layout.TRAIN) / CLASSES[2]
    place = layout.split_folder(folder, "in9l", layout.TRAIN) / CLASSES[2]
    place.mkdir(parents=True)
    shutil.copy(own / "train2_0.JPEG", place / "train2_0.JPEG")
    shutil.copy(own / "train2_0.JPEG", place / "another.JPEG")
    train = read(folder, extra="in9l").train
    assert len(train) == 54 + 1
    assert len(train.backgrounds) == 54
    last = torch.tensor([54])
    batch = train.batch(last, torch.tensor([0]))
    assert batch.label.tolist() == [2]
    assert batch.mask.all()
    assert torch.equal(batch.image[0], picture(folder, layout.ORIGINAL, layout.TRAIN, 2, "train2_0"))
    with pytest.raises(DataError, match="adds no picture"):
        read(folder, extra="nothing")


def test_pictures_are_scaled_once_to_the_size_asked(folder):
    dataset = Imagenet9(size=16).load(folder)
    assert dataset.image_shape == (3, 16, 16)
    batch = dataset.train.batch(torch.arange(4))
    assert batch.image.shape == (4, 3, 16, 16)
    assert batch.mask.shape == (4, 1, 16, 16)


@pytest.mark.parametrize("given", ["nowhere", "empty"])
def test_a_folder_without_pictures_is_told_what_to_do(tmp_path, given):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="study data build"):
        read(tmp_path / given)


def test_without_a_folder_too():
    with pytest.raises(DataError, match="--data DIR"):
        Imagenet9().load(None)


def test_dilation_lets_released_pictures_keep_a_rim_of_their_own_background(dataset):
    dilated = dataset.dilated(2)
    rim = dilated.test["mixed_rand_rim"]
    assert set(dilated.validation) == set(dilated.test)
    assert {name for name in dilated.test if name.endswith("_rim")} == {f"{name}_rim" for name in layout.MIXED}
    everything = torch.arange(len(rim))
    wide, narrow = rim.batch(everything), dataset.test["mixed_rand"].batch(everything)
    shell = (wide.mask & ~narrow.mask).expand_as(wide.image)
    front = dataset.test["mixed_rand"].foregrounds.image[everything] / 255
    assert shell.any()
    assert torch.equal(wide.image[shell], front[shell])
