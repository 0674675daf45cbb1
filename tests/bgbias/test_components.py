import importlib
import math
from pathlib import Path

import pytest

from bgbias.components import field_names, find, make
from bgbias.data.datasets import datasets, find_dataset
from bgbias.errors import SettingError, UnknownNameError
from bgbias.methods import find_method, methods
from bgbias.methods.dynamic_replacement import DynamicReplacement
from bgbias.methods.erm import Erm
from bgbias.methods.gradient_penalty import GradientPenalty
from bgbias.models import find_model, models
from bgbias.models.flows import flow_families
from bgbias.training import Training


def message_of(cls, where, **values):
    with pytest.raises(SettingError) as caught:
        make(cls, values, where)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("package", "found", "base"),
    [
        ("bgbias.methods", methods, "method"),
        ("bgbias.models", models, "model"),
        ("bgbias.models.flows", flow_families, "family"),
        ("bgbias.data.datasets", datasets, None),
    ],
)
def test_every_file_of_a_package_is_found_under_its_name(package, found, base):
    folder = Path(importlib.import_module(package).__path__[0])
    stems = {path.stem for path in folder.glob("*.py")} - {"__init__", base}
    assert {name.replace("-", "_") for name in found()} == stems
    assert list(found()) == sorted(found())


def test_an_unknown_field_is_answered_with_the_valid_ones():
    message = message_of(GradientPenalty, "method", wieght=1.0)
    assert message == "method has no field 'wieght': choose one of form, weight, dilation, smoothing, dimming"


def test_an_unknown_field_of_a_component_without_fields():
    assert message_of(Erm, "method", weight=1.0) == "method has no field 'weight': choose one of (none)"


@pytest.mark.parametrize(
    ("cls", "values", "rule", "value"),
    [
        (DynamicReplacement, {"p": 1.5}, "less than or equal to 1", "1.5"),
        (DynamicReplacement, {"p": -0.1}, "greater than or equal to 0", "-0.1"),
        (GradientPenalty, {"weight": -1}, "greater than or equal to 0", "-1"),
        (GradientPenalty, {"smoothing": -1}, "greater than or equal to 0", "-1"),
        (GradientPenalty, {"form": "squared"}, "'plain', 'log_probability' or 'aggregated'", "'squared'"),
        (Training, {"epochs": 0}, "greater than or equal to 1", "0"),
        (Training, {"epochs": "many"}, "valid integer", "'many'"),
        (Training, {"learning_rate": 0}, "greater than 0", "0"),
        (Training, {"learning_rate": math.nan}, "finite", "nan"),
        (Training, {"weight_decay": math.inf}, "finite", "inf"),
        (Training, {"optimizer": "lbfgs"}, "'adam' or 'sgd'", "'lbfgs'"),
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
        (find_method, "gradient_penality", "gradient_penalty"),
        (find_model, "compact-cnn", "compact_cnn"),
        (find_dataset, "colored_mnist", "colored-mnist"),
    ],
)
def test_an_unknown_name_is_answered_with_the_closest(find_one, typed, meant):
    with pytest.raises(UnknownNameError, match=f"'{typed}': did you mean '{meant}'") as caught:
        find_one(typed)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_close_to_nothing_is_answered_with_all():
    with pytest.raises(UnknownNameError, match=r"^unknown method 'zzz': choose one of a, b$"):
        find("method", "zzz", {"b": Erm, "a": Erm})


def test_field_names_are_in_order():
    assert field_names(GradientPenalty) == ["form", "weight", "dilation", "smoothing", "dimming"]
