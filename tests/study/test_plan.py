"""Checks before a study's first trial starts."""

import dataclasses

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.components import component
from bgbias.config import RunConfig
from bgbias.data.dataset import Dataset
from bgbias.errors import SettingError, UnknownNameError
from bgbias.methods import methods
from bgbias.methods.method import Method
from study.record.config import StudyConfig
from study.space import SearchSpace
from study.study import choose_objectives, known_metrics, plan


def test_settings_of_some_methods_are_pinned_where_they_belong():
    study = plan(StudyConfig(spaces=("erm", "dynamic_replacement"), settings={"method/p": "0.3"}))
    assert "method/p" not in study.spaces["dynamic_replacement"].params
    assert study.spaces["dynamic_replacement"].fixed["method/p"] == "0.3"
    assert "method/p" not in study.spaces["erm"].fixed


def test_a_setting_of_one_space_goes_before_that_of_all():
    spaces = ("learned_replacement", "background_matrix")
    settings = {"background_matrix:method/rule": "balancing", "method/rule": "bilevel", "erm:method/rule": "x"}
    with pytest.raises(SettingError, match=r"'erm:method/rule' is for a space that .* has not: .*background_m"):
        plan(StudyConfig(spaces=spaces, settings=settings))
    del settings["erm:method/rule"]
    study = plan(StudyConfig(spaces=spaces, settings=settings))
    assert study.spaces["learned_replacement"].fixed["method/rule"] == "bilevel"
    assert study.spaces["background_matrix"].fixed["method/rule"] == "balancing"
    with pytest.raises(SettingError, match="no method of this study has the setting 'background_matrix:method/rate'"):
        plan(StudyConfig(spaces=spaces, settings={"background_matrix:method/rate": "0.1"}))
    with pytest.raises(SettingError, match="'background_matrix:dataset/intensity' is the same for all spaces"):
        plan(StudyConfig(spaces=spaces, settings={"background_matrix:dataset/intensity": "2"}))


def test_a_space_with_dilation_may_be_judged_with_a_rim_and_another_may_not():
    config = {"objectives": ("shuffled_rim",)}
    study = plan(StudyConfig(spaces=("gradient_penalty",), **config))
    assert study.objectives == ("val/shuffled_rim/accuracy",)
    with pytest.raises(UnknownNameError, match=r"variant of gradient_penalty 'shuffled_rim': .*original, removed, sh"):
        plan(StudyConfig(spaces=("gradient_penalty",), settings={"method/dilation": "0"}, **config))
    with pytest.raises(UnknownNameError, match="variant of erm"):
        plan(StudyConfig(spaces=("gradient_penalty", "erm"), **config))


def test_the_dataset_chooses_the_objective_unless_told_otherwise():
    assert plan(StudyConfig(spaces=("erm",))).objectives == ("val/shuffled/accuracy",)
    assert plan(StudyConfig(spaces=("erm",), objectives=("removed",))).objectives == ("val/removed/accuracy",)


def test_a_space_does_not_decide_what_is_the_studys(tmp_path):
    space = tmp_path / "mine.py"
    space.write_text(
        "from bgbias.methods.erm import Erm\n"
        "from study.space import SearchSpace\n"
        "SPACE = SearchSpace(method=Erm, params={}, fixed={'training/epochs': 3})\n"
    )
    with pytest.raises(SettingError, match="'training/epochs' is the same for all trials of a study"):
        plan(StudyConfig(spaces=(str(space),)))


def test_settings_of_the_studys_own_dataset_and_its_model_can_be_pinned(photographs_folder):
    study = plan(StudyConfig(spaces=("erm",), dataset="one-pixel-digits", settings={"dataset/intensity": "5"}))
    assert study.dataset.intensity == 5
    with pytest.raises(SettingError, match="dataset has no field 'intensity'"):
        plan(StudyConfig(spaces=("erm",), settings={"dataset/intensity": "5"}))
    settings = {"dataset/size": "32", "model/architecture": "squeezenet1_1", "evaluation/also": "challenge"}
    study = plan(
        StudyConfig(
            spaces=("erm",), dataset="imagenet9", data=photographs_folder, settings=settings, objectives=("challenge",)
        )
    )
    assert study.dataset.size == 32
    assert study.objectives == ("val/challenge/accuracy",)


def test_photographs_have_their_own_objective_and_the_challenge_only_if_asked(photographs_folder):
    config = {
        "spaces": ("erm",),
        "dataset": "imagenet9",
        "data": photographs_folder,
        "settings": {"dataset/size": "32"},
    }
    assert plan(StudyConfig(**config)).objectives == ("val/mixed_rand/accuracy",)
    with pytest.raises(UnknownNameError, match="challenge"):
        plan(StudyConfig(**config, objectives=("challenge",)))


def test_a_study_keeps_the_classes_it_began_with():
    classes = plan(StudyConfig(spaces=("erm",))).classes
    assert classes == tuple("0123456789")
    assert plan(StudyConfig(spaces=("erm",), classes=classes)).classes == classes
    with pytest.raises(SettingError, match=r"began with zero, 1, .* and colored-digits has 0, 1, .*: give the data of"):
        plan(StudyConfig(spaces=("erm",), classes=("zero", *classes[1:])))


@pytest.mark.parametrize(
    "metric", ["val/shuffled/worst_class_accuracy", "val/removed/loss", "val/shuffled/object_saliency"]
)
def test_an_objective_may_be_any_validation_metric(metric):
    saliency = {"evaluation/also": "saliency"} if "saliency" in metric else {}
    study = plan(StudyConfig(spaces=("erm",), settings=saliency, objectives=(metric, "original")))
    assert study.objectives == (metric, "val/original/accuracy")


def test_a_gap_of_the_dataset_may_be_an_objective(photographs_folder):
    config = {"spaces": ("erm",), "data": photographs_folder, "settings": {"dataset/size": "32"}}
    assert plan(StudyConfig(dataset="imagenet9", objectives=("val/bg_gap",), **config)).objectives == ("val/bg_gap",)
    with pytest.raises(UnknownNameError, match="unknown metric of erm 'val/bg_gap'"):
        plan(StudyConfig(spaces=("erm",), objectives=("val/bg_gap",)))


@pytest.mark.parametrize(
    ("objectives", "rule"),
    [
        (
            ("test/shuffled/accuracy",),
            "validation metric, but got 'test/shuffled/accuracy': give 'val/sh",
        ),
        (
            ("shuffled", "val/shuffled/accuracy"),
            "objectives must differ, but got val/shuffled/accuracy, val/shuf",
        ),
        (
            ("val/shuffled/acuracy",),
            "unknown metric of erm 'val/shuffled/acuracy': did you mean 'val/s",
        ),
        (("val/shufled/accuracy",), "unknown variant of erm 'shufled': did you mean 'shuffled'"),
        (("train/loss/cross_entropy",), "unknown metric of erm 'train/loss/cross_entropy'"),
    ],
)
def test_what_cannot_be_an_objective_is_refused_with_the_way_out(objectives, rule):
    with pytest.raises((SettingError, UnknownNameError), match=rule):
        plan(StudyConfig(spaces=("erm",), objectives=objectives))


def test_early_stopping_takes_one_objective():
    several = {"spaces": ("erm",), "objectives": ("shuffled", "original")}
    with pytest.raises(SettingError, match=r"early stopping takes one objective, .*: give --no-early-stopping"):
        plan(StudyConfig(**several, early_stopping=True))
    assert len(plan(StudyConfig(**several, early_stopping=False)).objectives) == 2


def test_spaces_share_their_objectives():
    erm = methods.find("erm")
    spaces = {name: SearchSpace(method=erm, params={}, objectives=(name,)) for name in ("shuffled", "removed")}
    with pytest.raises(SettingError, match="the spaces shuffled, removed must have the same objectives"):
        choose_objectives(spaces, StudyConfig())
    assert choose_objectives(spaces, StudyConfig(objectives=("original",))) == ("val/original/accuracy",)
    assert choose_objectives({"x": spaces["removed"]}, StudyConfig()) == ("val/removed/accuracy",)


@component
class AddsVariants(Method):
    """Evaluates one variant more at the middle choice of a setting, and another at the upper end of a range."""

    mode: str = "first"
    radius: float = 0.0

    def prepare(self, dataset: Dataset, generator):  # noqa: ARG002
        validation = dict(dataset.validation)
        if self.mode == "middle":
            validation["in_the_middle"] = validation["original"]
        if self.radius == 1:
            validation["at_the_end"] = validation["original"]
        return dataclasses.replace(dataset, validation=validation)


def test_a_variant_that_only_a_middle_choice_adds_is_known(monkeypatch, load):
    monkeypatch.setitem(methods._found, AddsVariants.name(), AddsVariants)
    params = {
        "method/mode": CategoricalDistribution(["first", "middle", "last"]),
        "method/radius": FloatDistribution(0, 1),
    }
    space = SearchSpace(method=AddsVariants, params=params)
    run = RunConfig.from_flat({"dataset/name": "colored-digits", "method/name": AddsVariants.name()})
    known = known_metrics(space, run, load("colored-digits").head(1))
    assert {"val/in_the_middle/accuracy", "val/at_the_end/accuracy", "val/original/accuracy"} <= set(known)
    assert not any(name.startswith("test/") for name in known)


def test_metrics_are_known_even_if_a_method_takes_the_few_validation_pictures_that_are_looked_at(load):
    space = SearchSpace(method=methods.find("dfr"), params={}, fixed={"method/held_out": 0.667})
    run = RunConfig.from_flat({"dataset/name": "colored-digits", "method/name": "dfr"})
    assert "val/shuffled/accuracy" in known_metrics(space, run, load("colored-digits").head(1))


def test_a_family_holds_what_the_studys_trials_are_evaluated_on(photographs_folder):
    config = StudyConfig(
        spaces=("erm", "dynamic_replacement"), dataset="imagenet9", data=photographs_folder, family=("*:challenge",)
    )
    with pytest.raises(SettingError, match=r"must match a variant of the study, but got '\*:challenge'"):
        plan(dataclasses.replace(config, settings={"dataset/size": "32"}))
    assert plan(dataclasses.replace(config, settings={"dataset/size": "32", "evaluation/also": "challenge"}))
