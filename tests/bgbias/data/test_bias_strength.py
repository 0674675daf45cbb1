"""Strength of a bias, and the bias on photographs."""

import shutil

import pytest
import torch
from made_photographs import CLASSES, COUNTS, SIDE

from bgbias.components import make
from bgbias.data import bias_strength
from bgbias.data.datasets.imagenet9 import Imagenet9
from bgbias.data.photographs import layout
from bgbias.errors import SettingError
from bgbias.methods.dynamic_replacement import DynamicReplacement
from bgbias.models.compact_cnn import CompactCnn
from bgbias.optimization import Training
from bgbias.training import Trainer
from bgbias.types import OWN_BACKGROUND

EACH = COUNTS[layout.TRAIN] - 2
"""A tenth is held out for validation."""


@pytest.mark.parametrize(
    ("given", "kept"), [(0.5, 0.5), ("0.5", 0.5), (1, 1.0), ("1, 0.5,0", "1,0.5,0"), ("0.25,0.75", "0.25,0.75")]
)
def test_a_number_or_several_in_0_to_1(given, kept):
    assert bias_strength.checked(given) == kept


@pytest.mark.parametrize("given", [1.1, -0.1, "a", "", "0.5,2", "0.5,,1", "nan"])
def test_anything_else_is_refused(given):
    with pytest.raises(ValueError, match=r"a number in \[0, 1\], or one for each class"):
        bias_strength.checked(given)


def test_one_number_is_every_classes():
    assert bias_strength.of_classes(0.3, 3, "x") == [0.3, 0.3, 0.3]
    assert bias_strength.of_classes("1,0.5,0", 3, "x") == [1, 0.5, 0]
    with pytest.raises(SettingError, match="x takes one number or one for each of the 3 classes, but got 2: give 3"):
        bias_strength.of_classes("1,0.5", 3, "x")


@pytest.mark.parametrize(("strength", "at_home"), [(1.0, [18, 18, 18]), (0.0, [0, 0, 0]), ("1,0.5,0.1", [18, 9, 2])])
def test_so_many_photographs_of_a_class_stand_on_its_own_backgrounds(load, strength, at_home):
    train = load("imagenet9", size=SIDE, bias_strength=strength).train
    place = train.places(torch.arange(len(train)), train.assignment)
    label = train.foregrounds.label
    assert torch.bincount(label[place == label], minlength=3).tolist() == at_home
    for number in range(3):  # the others: both other classes, each with some
        away = place[(label == number) & (place != label)]
        assert len(away) == EACH - at_home[number]
        if len(away) >= 9:
            assert set(away.tolist()) == {0, 1, 2} - {number}


def test_one_share_for_all_is_exact_over_the_whole_training_set(load):
    train = load("imagenet9", size=SIDE, bias_strength=0.55).train
    place = train.places(torch.arange(len(train)), train.assignment)
    assert int((place == train.foregrounds.label).sum()) == 54 - round(0.45 * 54)


def test_objects_are_pasted_on_the_assigned_background_and_the_bias_repeats(load, photographs_folder):
    one, plain = (load("imagenet9", size=SIDE, bias_strength=strength).train for strength in (0.5, None))
    index = torch.arange(len(one))
    batch, own = one.batch(index), plain.batch(index)
    assert (plain.assignment == OWN_BACKGROUND).all()
    background = one.backgrounds.image[one.assignment].float() / 255
    assert torch.equal(batch.image, torch.where(batch.mask, own.image, background))
    again = Imagenet9(size=SIDE, bias_strength=0.5).load(photographs_folder).train
    other = Imagenet9(size=SIDE, bias_strength=0.5, split_seed=1).load(photographs_folder).train
    assert torch.equal(again.assignment, one.assignment)
    assert not torch.equal(other.assignment, one.assignment)


def test_photographs_without_masks_stay_as_they_are(photographs_folder, tmp_path):
    folder = shutil.copytree(photographs_folder, tmp_path / "copy", ignore=shutil.ignore_patterns(".banks"))
    for class_name in CLASSES:
        source = folder / layout.ORIGINAL / layout.TRAIN / class_name
        more = folder / "in9l" / layout.TRAIN / class_name
        more.mkdir(parents=True)
        for file in sorted(source.iterdir())[:2]:
            shutil.copy(file, more / f"more_{file.name}")
    train = Imagenet9(size=SIDE, bias_strength=0.0, extra="in9l").load(folder).train
    assert (train.assignment[-6:] == OWN_BACKGROUND).all()
    assert (train.assignment[:-6] >= 0).all()


def test_a_stop_changes_no_weight(load):
    dataset = load("imagenet9", size=SIDE, bias_strength=0.9)

    def trainer():
        training = Training(epochs=2, batch_size=16)
        return Trainer(DynamicReplacement(), CompactCnn(), dataset, training, 1, torch.device("cpu"))

    whole, first, second = trainer(), trainer(), trainer()
    whole.train_epoch()
    first.train_epoch()
    second.load_state(first.learner.state_dict(), first.state())
    whole.train_epoch()
    second.train_epoch()
    for name, value in whole.learner.state_dict().items():
        assert torch.equal(value, second.learner.state_dict()[name])


def test_a_strength_out_of_range_or_for_other_classes_is_refused(photographs_folder):
    with pytest.raises(SettingError, match=r"dataset/bias_strength: value error, must be a number in \[0, 1\]"):
        make(Imagenet9, {"bias_strength": 2}, "dataset")
    with pytest.raises(SettingError, match="dataset/bias_strength takes one number or one for each of the 3 classes"):
        Imagenet9(size=SIDE, bias_strength="0.5,1").load(photographs_folder)
