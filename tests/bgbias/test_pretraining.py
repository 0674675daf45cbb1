import copy

import pytest
import torch
from bgbias.foundation import check, classifier_weights

from bgbias import checkpoint
from bgbias.config import RunConfig
from bgbias.errors import CheckpointError, SettingError
from bgbias.methods.dynamic_replacement import DynamicReplacement
from bgbias.models.compact_cnn import CompactCnn
from bgbias.training import Trainer, Training, build_module

CPU = torch.device("cpu")
DIGITS = tuple("0123456789")
BASE = {"dataset/name": "colored-digits", "method/name": "flow_embedding", "method/max_samples": 2}


@pytest.fixture(scope="module")
def digits(load):
    return load("colored-digits")


def config(**settings):
    return RunConfig.from_flat({**BASE, **{name.replace("__", "/"): value for name, value in settings.items()}})


def saved(folder, dataset, **settings):
    run = RunConfig.from_flat({"dataset/name": "colored-digits", "method/name": "erm", **settings})
    module = build_module(run.method, run.model, dataset, seed=5)
    checkpoint.save(folder, run, dataset.classes, epoch=0, metrics={}, module=module, predictions={})
    return module


def test_most_methods_need_nothing(digits):
    plain = RunConfig.from_flat({"dataset/name": "colored-digits", "method/name": "erm"})
    assert classifier_weights(plain, digits, CPU) is None


def test_a_backbone_may_begin_as_the_model_makes_it(digits):
    assert classifier_weights(config(method__backbone=None), digits, CPU) is None


def test_a_method_trains_the_backbone_as_it_would_alone(digits):
    weights = classifier_weights(config(method__backbone_epochs=2, seed=3), digits, CPU)()
    alone = Trainer(DynamicReplacement(), CompactCnn(), digits, Training(epochs=2, schedule="cosine"), 3, CPU)
    for _ in range(2):
        alone.train_epoch()
    torch.testing.assert_close(dict(weights), dict(alone.module.state_dict()), rtol=0, atol=0)


def test_a_run_begins_with_the_backbone_and_keeps_it(digits):
    run = config(method__backbone_epochs=1)
    weights = classifier_weights(run, digits, CPU)
    trainer = Trainer(run.method, run.model, digits, Training(epochs=1), 0, CPU, weights)
    trainer.train_epoch()
    torch.testing.assert_close(dict(weights()), dict(trainer.module.backbone.state_dict()), rtol=0, atol=0)


def test_a_run_that_goes_on_does_not_train_the_backbone_again(digits):
    def train():
        raise AssertionError("the backbone was asked for again")

    run = config(method__backbone=None)
    first = Trainer(run.method, run.model, digits, Training(epochs=2), 0, CPU)
    first.train_epoch()
    again = Trainer(run.method, run.model, digits, Training(epochs=2), 0, CPU, train)
    again.load_state(first.module.state_dict(), copy.deepcopy(first.state()))
    assert again.train_epoch()["train/loss/cross_entropy"] == first.train_epoch()["train/loss/cross_entropy"]


def test_a_checkpoint_gives_its_weights(digits, tmp_path):
    module = saved(tmp_path / "erm", digits)
    weights = classifier_weights(config(method__backbone=str(tmp_path / "erm")), digits, CPU)()
    torch.testing.assert_close(dict(weights), dict(module.state_dict()), rtol=0, atol=0)


def test_a_checkpoint_of_another_dataset_model_or_kind_is_refused(load, digits, tmp_path):
    saved(tmp_path / "pixel", load("one-pixel-digits"), **{"dataset/name": "one-pixel-digits"})
    with pytest.raises(CheckpointError, match=r"this run's dataset, colored-digits, but .*pixel has one-pixel"):
        check(config(method__backbone=str(tmp_path / "pixel")), DIGITS)
    saved(tmp_path / "small", digits, **{"model/name": "small_cnn"})
    with pytest.raises(CheckpointError, match=r"must have this run's model, CompactCnn\(\), but .*SmallCnn\(\): give"):
        check(config(method__backbone=str(tmp_path / "small")), DIGITS)
    saved(tmp_path / "flow", digits, **{"method/name": "flow_embedding"})
    with pytest.raises(CheckpointError, match=r"must be a plain classifier, but .*flow is of flow_embedding"):
        check(config(method__backbone=str(tmp_path / "flow")), DIGITS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        check(config(method__backbone=str(tmp_path / "empty")), DIGITS)


def test_a_checkpoint_of_other_classes_is_refused_with_both_lists(digits, tmp_path):
    run = RunConfig.from_flat({"dataset/name": "colored-digits", "method/name": "erm"})
    renamed = (*DIGITS[:9], "nine")
    module = CompactCnn().build((3, 28, 28), 10)
    checkpoint.save(tmp_path / "nine", run, renamed, epoch=0, metrics={}, module=module, predictions={})
    for call in (
        lambda built: check(built, DIGITS),
        lambda built: classifier_weights(built, digits, CPU),
    ):
        with pytest.raises(CheckpointError, match=r"has 10 \(0, 1,.* 8, nine\) and colored-digits has 10 \(0, .*9\)"):
            call(config(method__backbone=str(tmp_path / "nine")))


def test_a_backbone_that_is_nothing_is_answered_with_what_there_is():
    with pytest.raises(SettingError, match=r"the folder of a checkpoint, or one of the methods .*erm.* 'emr'"):
        check(config(method__backbone="emr"), DIGITS)
    with pytest.raises(SettingError, match="by a method that needs none itself, but got 'flow_embedding'"):
        check(config(method__backbone="flow_embedding"), DIGITS)
