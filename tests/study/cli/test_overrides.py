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


@pytest.mark.parametrize("item", ["weight", "=3"])
def test_what_is_not_field_equals_value_is_refused(item):
    with pytest.raises(SettingError, match="takes FIELD=VALUE, but got"):
        parse_settings([item])
