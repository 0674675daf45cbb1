import math

import pytest

from bgbias.components import Component, Registry, field_names, make
from bgbias.data.datasets import datasets
from bgbias.errors import SettingError, UnknownNameError
from bgbias.methods import methods
from bgbias.methods.dynamic_replacement import DynamicReplacement
from bgbias.methods.erm import Erm
from bgbias.methods.flow.families import flow_families
from bgbias.methods.gradient_penalty import GradientPenalty
from bgbias.models import models
from bgbias.optimization import Training


def message_of(cls, where, **values):
    with pytest.raises(SettingError) as caught:
        make(cls, values, where)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("found", [methods, models, flow_families, datasets])
def test_components_are_sorted_by_name_and_know_their_names(found):
    assert list(found) == sorted(found)
    assert all(cls.name() == name for name, cls in found.items())


def test_a_new_file_is_found_and_two_components_of_one_name_are_refused(tmp_path, monkeypatch):
    package = tmp_path / "made_components"
    (package / "deeper").mkdir(parents=True)
    for folder in (package, package / "deeper"):
        (folder / "__init__.py").touch()
    text = (
        "from bgbias.components import Component, component\n\n\n"
        "@component\nclass WorstOfThree(Component):\n    k: int = 3\n"
    )
    (package / "deeper" / "thing.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = Registry("thing", "made_components", Component)
    assert {name: cls().k for name, cls in found.items()} == {"worst_of_three": 3}
    (package / "two.py").write_text(text)
    with pytest.raises(
        SettingError,
        match=r"^two thing components are called 'worst_of_three', in made_components.deeper.thing and "
        r"made_components.two: rename one class$",
    ):
        Registry("thing", "made_components", Component).find("worst_of_three")


def test_an_unknown_field_is_answered_with_the_valid_ones():
    message = message_of(GradientPenalty, "method", wieght=1.0)
    assert message == "method has no field 'wieght': choose one of form, weight, dilation, smoothing, lit_only, dimming"


def test_an_unknown_field_of_a_component_without_fields():
    assert message_of(Erm, "method", weight=1.0) == "method has no field 'weight': it has none, leave it out"


@pytest.mark.parametrize(
    ("cls", "values", "rule", "value"),
    [
        (DynamicReplacement, {"p": 1.5}, "less than or equal to 1", "1.5"),
        (DynamicReplacement, {"p": -0.1}, "greater than or equal to 0", "-0.1"),
        (GradientPenalty, {"weight": -1}, "greater than or equal to 0", "-1"),
        (GradientPenalty, {"smoothing": -1}, "greater than or equal to 0", "-1"),
        (GradientPenalty, {"form": "squared"}, "'aggregated', 'rrr' or 'gradmask'", "'squared'"),
        (Training, {"epochs": 0}, "greater than or equal to 1", "0"),
        (Training, {"epochs": "many"}, "valid integer", "'many'"),
        (Training, {"learning_rate": 0}, "greater than 0", "0"),
        (Training, {"learning_rate": math.nan}, "finite", "nan"),
        (Training, {"weight_decay": math.inf}, "finite", "inf"),
        (Training, {"optimizer": "lbfgs"}, "'adam', 'adamw' or 'sgd'", "'lbfgs'"),
    ],
)
def test_a_value_against_its_rule_is_answered_with_both(cls, values, rule, value):
    (field,) = values
    message = message_of(cls, "section", **values)
    assert message.startswith(f"section/{field}: ")
    assert rule in message
    assert message.endswith(f"but got {value}")


def test_every_wrong_field_is_named_at_once():
    message = message_of(Training, "training", epochs=0, batch_size=0, lr=1)
    assert "training/epochs" in message
    assert "training/batch_size" in message
    assert "no field 'lr'" in message


@pytest.mark.parametrize(
    ("find_one", "typed", "meant"),
    [
        (methods.find, "gradient_penality", "gradient_penalty"),
        (models.find, "compact-cnn", "compact_cnn"),
        (datasets.find, "colored_mnist", "colored-mnist"),
    ],
)
def test_an_unknown_name_is_answered_with_the_closest(find_one, typed, meant):
    with pytest.raises(UnknownNameError, match=f"'{typed}': did you mean '{meant}'") as caught:
        find_one(typed)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_close_to_nothing_is_answered_with_all():
    with pytest.raises(UnknownNameError, match=r"^unknown flow family 'zzz': choose one of affine_coupling, masked_"):
        flow_families.find("zzz")


def test_field_names_are_in_order():
    assert field_names(GradientPenalty) == ["form", "weight", "dilation", "smoothing", "lit_only", "dimming"]
