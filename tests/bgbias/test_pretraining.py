import copy

import pytest
import torch
from made_learners import task_of
from torch import nn

from bgbias import checkpoint
from bgbias.config import RunConfig
from bgbias.errors import CheckpointError, SettingError
from bgbias.methods.dynamic_replacement import DynamicReplacement
from bgbias.methods.method import Learner
from bgbias.models.compact_cnn import CompactCnn
from bgbias.optimization import Training
from bgbias.pretraining import check, pretrained_weights
from bgbias.training import Trainer, make_learner

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
    learner = make_learner(run.method, run.model, dataset, seed=5)
    checkpoint.save(folder, run, dataset.classes, epoch=0, metrics={}, module=learner, predictions={})
    return learner.classifier


def weights_of(run, dataset):
    """The classifier's weights after the run's first stage."""
    return dict(pretrained_weights(run, dataset, CPU, run.method.stages(run.training.epochs)[0]))


def test_most_methods_need_nothing():
    plain = RunConfig.from_flat({"dataset/name": "colored-digits", "method/name": "erm"})
    assert [stage.by for stage in plain.method.stages(10)] == [None]
    check(plain, DIGITS)


def test_a_backbone_may_begin_as_the_model_makes_it(digits):
    run = config(method__backbone=None)
    assert {stage.by for stage in run.method.stages(10)} == {None}
    trainer = Trainer(run.method, run.model, digits, Training(epochs=1), 0, CPU)
    made = {name: value.clone() for name, value in trainer.learner.classifier.state_dict().items()}
    trainer.train_epoch()
    torch.testing.assert_close(dict(trainer.learner.classifier.state_dict()), made, rtol=0, atol=0)


def test_a_method_trains_the_backbone_as_it_would_alone(digits):
    weights = weights_of(config(method__backbone_epochs=2, seed=3), digits)
    alone = Trainer(DynamicReplacement(), CompactCnn(), digits, Training(epochs=2, schedule="cosine"), 3, CPU)
    for _ in range(2):
        alone.train_epoch()
    torch.testing.assert_close(weights, dict(alone.learner.classifier.state_dict()), rtol=0, atol=0)


def test_a_run_begins_with_the_backbone_and_keeps_it(digits):
    run = config(method__backbone_epochs=1)
    weights = weights_of(run, digits)
    trainer = Trainer(run.method, run.model, digits, Training(epochs=1), 0, CPU, lambda _: weights)
    trainer.train_epoch()
    torch.testing.assert_close(weights, dict(trainer.learner.classifier.state_dict()), rtol=0, atol=0)


def test_a_run_that_goes_on_does_not_train_the_backbone_again(digits):
    asked = []

    def train(stage):
        asked.append(stage.by)
        return CompactCnn().build(digits.task).state_dict()

    run = config(method__backbone="erm")
    first, again = (Trainer(run.method, run.model, digits, Training(epochs=2), 0, CPU, train) for _ in range(2))
    first.train_epoch()
    assert asked == ["erm"]
    again.load_state(first.learner.state_dict(), copy.deepcopy(first.state()))
    assert again.train_epoch()["train/loss/cross_entropy"] == first.train_epoch()["train/loss/cross_entropy"]
    assert asked == ["erm"]


def test_a_checkpoint_gives_its_weights(digits, tmp_path):
    classifier = saved(tmp_path / "erm", digits)
    weights = weights_of(config(method__backbone=str(tmp_path / "erm")), digits)
    torch.testing.assert_close(weights, dict(classifier.state_dict()), rtol=0, atol=0)


def test_a_checkpoint_of_any_method_gives_its_classifier(digits, tmp_path):
    classifier = saved(tmp_path / "flow", digits, **{"method/name": "flow_embedding"})
    run = config(method__backbone=str(tmp_path / "flow"))
    check(run, DIGITS)
    torch.testing.assert_close(weights_of(run, digits), dict(classifier.state_dict()), rtol=0, atol=0)


def test_a_checkpoint_of_another_dataset_or_model_is_refused(load, digits, tmp_path):
    saved(tmp_path / "pixel", load("one-pixel-digits"), **{"dataset/name": "one-pixel-digits"})
    with pytest.raises(CheckpointError, match=r"this run's dataset, colored-digits, but .*pixel has one-pixel"):
        check(config(method__backbone=str(tmp_path / "pixel")), DIGITS)
    saved(tmp_path / "small", digits, **{"model/name": "small_cnn"})
    with pytest.raises(
        CheckpointError, match=r"must have this run's model, CompactCnn\(\), but .*SmallCnn\(scale=1.0\): give"
    ):
        check(config(method__backbone=str(tmp_path / "small")), DIGITS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        check(config(method__backbone=str(tmp_path / "empty")), DIGITS)


def test_a_checkpoint_of_other_classes_is_refused_with_both_lists(digits, tmp_path):
    run = RunConfig.from_flat({"dataset/name": "colored-digits", "method/name": "erm"})
    renamed = (*DIGITS[:9], "nine")
    learner = Learner(CompactCnn().build(task_of()), nn.Module())
    checkpoint.save(tmp_path / "nine", run, renamed, epoch=0, metrics={}, module=learner, predictions={})
    for call in (
        lambda built: check(built, DIGITS),
        lambda built: weights_of(built, digits),
    ):
        with pytest.raises(CheckpointError, match=r"has 10 \(0, 1,.* 8, nine\) and colored-digits has 10 \(0, .*9\)"):
            call(config(method__backbone=str(tmp_path / "nine")))


def test_a_checkpoint_of_other_image_sizes_is_refused(digits, tmp_path):
    run = RunConfig.from_flat({"dataset/name": "colored-digits", "method/name": "erm"})
    learner = Learner(CompactCnn().build(task_of((3, 32, 32))), nn.Module())
    checkpoint.save(tmp_path / "wide", run, DIGITS, epoch=0, metrics={}, module=learner, predictions={})
    with pytest.raises(CheckpointError, match=r"must fit this run's images \(3, 28, 28\), but .*wide was trained on"):
        weights_of(config(method__backbone=str(tmp_path / "wide")), digits)


def test_a_backbone_that_is_nothing_is_answered_with_what_there_is():
    with pytest.raises(SettingError, match=r"the folder of a checkpoint, or one of the methods .*erm.* 'emr'"):
        check(config(method__backbone="emr"), DIGITS)
    with pytest.raises(SettingError, match="by a method that trains all its stages itself, but got 'flow_embedding'"):
        check(config(method__backbone="flow_embedding"), DIGITS)


def test_a_combination_trains_a_backbone_as_a_run_of_it_would(digits):
    weights = weights_of(config(method__backbone="dynamic_replacement+gradient_penalty"), digits)
    alone = weights_of(config(method__backbone="dynamic_replacement"), digits)
    assert weights.keys() == alone.keys()
    assert any(not torch.equal(weights[name], alone[name]) for name in weights)
    with pytest.raises(SettingError, match="'erm' is named twice"):
        check(config(method__backbone="erm+erm"), DIGITS)
