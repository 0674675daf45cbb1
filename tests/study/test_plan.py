"""What a study finds out before its first trial starts."""

import pytest

from bgbias.errors import SettingError, UnknownNameError
from study.record.config import StudyConfig
from study.study import plan


def test_settings_of_some_methods_are_pinned_where_they_belong():
    study = plan(StudyConfig(spaces=("erm", "dynamic_replacement"), settings={"method/p": "0.3"}))
    assert "method/p" not in study.spaces["dynamic_replacement"].params
    assert study.spaces["dynamic_replacement"].fixed["method/p"] == "0.3"
    assert "method/p" not in study.spaces["erm"].fixed


def test_a_space_with_dilation_may_be_judged_with_a_rim_and_another_may_not():
    config = {"objective": "shuffled_rim"}
    study = plan(StudyConfig(spaces=("gradient_penalty",), **config))
    assert study.objectives == {"gradient_penalty": "shuffled_rim"}
    with pytest.raises(UnknownNameError, match=r"variant of gradient_penalty 'shuffled_rim': .*original, removed, sh"):
        plan(StudyConfig(spaces=("gradient_penalty",), settings={"method/dilation": "0"}, **config))
    with pytest.raises(UnknownNameError, match="variant of erm"):
        plan(StudyConfig(spaces=("gradient_penalty", "erm"), **config))


def test_the_dataset_chooses_the_objective_unless_told_otherwise():
    assert plan(StudyConfig(spaces=("erm",))).objectives == {"erm": "shuffled"}
    assert plan(StudyConfig(spaces=("erm",), objective="removed")).objectives == {"erm": "removed"}


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
    settings = {"dataset/size": "32", "model/architecture": "squeezenet1_1", "evaluation/challenge": "true"}
    study = plan(
        StudyConfig(
            spaces=("erm",), dataset="imagenet9", data=photographs_folder, settings=settings, objective="challenge"
        )
    )
    assert study.dataset.size == 32
    assert study.objectives == {"erm": "challenge"}


def test_photographs_have_their_own_objective_and_the_challenge_only_if_asked(photographs_folder):
    config = {
        "spaces": ("erm",),
        "dataset": "imagenet9",
        "data": photographs_folder,
        "settings": {"dataset/size": "32"},
    }
    assert plan(StudyConfig(**config)).objectives == {"erm": "mixed_rand"}
    with pytest.raises(UnknownNameError, match="challenge"):
        plan(StudyConfig(**config, objective="challenge"))


def test_a_study_keeps_the_classes_it_began_with():
    classes = plan(StudyConfig(spaces=("erm",))).classes
    assert classes == tuple("0123456789")
    assert plan(StudyConfig(spaces=("erm",), classes=classes)).classes == classes
    with pytest.raises(SettingError, match=r"began with zero, 1, .* and colored-digits has 0, 1, .*: give the data of"):
        plan(StudyConfig(spaces=("erm",), classes=("zero", *classes[1:])))
