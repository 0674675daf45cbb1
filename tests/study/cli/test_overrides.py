import pytest

from bgbias.errors import SettingError
from study.cli.overrides import parse_settings


def test_a_bare_field_belongs_to_the_method():
    assert parse_settings(["weight=0.1", "training/batch_size=32"]) == {
        "method/weight": "0.1",
        "training/batch_size": "32",
    }


def test_none_is_the_value_none():
    assert parse_settings(["smoothing=none"]) == {"method/smoothing": None}


def test_a_value_may_hold_an_equals_sign():
    assert parse_settings(["method/form=a=b"]) == {"method/form": "a=b"}


def test_a_setting_may_be_of_one_space_of_a_study():
    assert parse_settings(["erm+clad:weight=a:b", "erm:training/batch_size=8"], spaces=True) == {
        "erm+clad:method/weight": "a:b",
        "erm:training/batch_size": "8",
    }
    for item, spaces in (("erm:weight=1", False), (":weight=1", True)):
        with pytest.raises(SettingError, match="names a space of a study, which is not asked for here"):
            parse_settings([item], spaces=spaces)


@pytest.mark.parametrize("item", ["weight", "=3"])
def test_what_is_not_field_equals_value_is_refused(item):
    with pytest.raises(SettingError, match="takes FIELD=VALUE, but got"):
        parse_settings([item])


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("learning_rate=0.1", "no setting is called 'method/learning_rate': did you mean 'training/learning_rate'?"),
        ("training/weight=1", "no setting is called 'training/weight': did you mean 'method/weight'?"),
        ("dataset/batchsize=4", "no setting is called 'dataset/batchsize': did you mean 'training/batch_size'?"),
        ("seed=4", "'seed' is not set by --set: give --seed 4"),
        ("epoch=5", "give --epochs 5"),
        ("dataset=mnist", "give --dataset mnist"),
        ("dataset/name=mnist", "'dataset/name' is not set by --set: give mnist as --dataset"),
        ("method/name=erm", "'method/name' is not set by --set: give erm as the command's argument"),
    ],
)
def test_a_near_miss_is_suggested_from_every_section_and_option(item, told):
    with pytest.raises(SettingError, match=told.replace("?", r"\?")):
        parse_settings([item])


def test_what_is_close_to_nothing_is_left_to_its_owner():
    assert parse_settings(["q=1"]) == {"method/q": "1"}
