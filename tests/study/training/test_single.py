"""A checkpoint that meets data: its own, or another folder's."""

import shutil

import pytest
from made_photographs import CLASSES

from bgbias import checkpoint
from bgbias.config import RunConfig
from bgbias.errors import CheckpointError
from bgbias.training import make_learner
from study.training.single import load_beside, load_trained

SETTINGS = {"dataset/name": "imagenet9", "dataset/size": 32, "model/name": "compact_cnn"}


@pytest.fixture(scope="module")
def trained(load, photographs_folder, tmp_path_factory):
    """A checkpoint of the made photographs."""
    folder = tmp_path_factory.mktemp("trained")
    config = RunConfig.from_flat({**SETTINGS, "method/name": "erm", "data": str(photographs_folder)})
    dataset = load("imagenet9", size=32)
    learner = make_learner(config.method, config.model, dataset, 0)
    checkpoint.save(folder, config, dataset.classes, 1, {}, learner, {})
    return folder


@pytest.fixture
def renamed(photographs_folder, tmp_path):
    """The made photographs with the first class called so that it is sorted last."""
    return changed(photographs_folder, tmp_path / "renamed", lambda folder: folder.rename(folder.with_name("disc")))


def changed(folder, to, change):
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(".banks"))
    for of_class in list(to.rglob(CLASSES[0])):
        change(of_class)
    return to


BOTH = "has 3 (00_disc, 01_bar, 02_frame) and {} has 3 (01_bar, 02_frame, disc): give data of the checkpoint's classes"


@pytest.mark.parametrize("command", ["evaluate", "saliency", "flow"])
def test_renamed_classes_are_refused_with_both_lists(study, trained, renamed, tmp_path, command):
    out = () if command == "evaluate" else ("--out", tmp_path / "out.png")
    code, printed, told = study(command, trained, "--data", renamed, *out)
    assert (code, printed, told.count("\n")) == (2, "", 1)
    assert BOTH.format(renamed) in told


def test_data_of_fewer_classes_is_refused_by_their_number(study, trained, photographs_folder, tmp_path):
    fewer = changed(photographs_folder, tmp_path / "fewer", shutil.rmtree)
    for mixed in fewer.rglob("*_bg_*0_*"):
        mixed.unlink()
    code, _, told = study("evaluate", trained, "--data", fewer)
    assert code == 2
    assert f"{trained} has 3 (00_disc, 01_bar, 02_frame) and {fewer} has 2 (01_bar, 02_frame): give data" in told


def test_a_second_checkpoint_must_have_the_classes_of_the_first(trained, tmp_path):
    first, found = load_trained(trained, None, None, "cpu"), checkpoint.load(trained)
    learner = make_learner(first.config.method, first.config.model, first.dataset, 0)
    checkpoint.save(tmp_path / "other", found.config, ("disc", *CLASSES[1:]), 1, {}, learner, {})
    with pytest.raises(CheckpointError, match=r"other has 3 \(disc, .*the first checkpoint's data has 3 \(00_disc"):
        load_beside(tmp_path / "other", first)


def test_the_data_given_is_the_data_named(trained, photographs_folder, tmp_path):
    copied = changed(photographs_folder, tmp_path / "copied", lambda _: None)
    assert load_trained(trained, None, None, "cpu").config.data == photographs_folder
    assert load_trained(trained, None, copied, "cpu").config.data == copied
