"""Contract of every search space, found by looking, and errors of wrong ones."""

import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from bgbias.errors import SettingError, UnknownNameError
from bgbias.methods import methods
from bgbias.methods.dynamic_replacement import DynamicReplacement
from bgbias.methods.erm import Erm
from study.space import SearchSpace, load_space, space_names

every_space = pytest.mark.parametrize("name", space_names())


def extremes(distribution):
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    return distribution.low, distribution.high


@every_space
def test_its_names_are_real_fields(name):
    space = load_space(name)
    assert {*space.params, *space.fixed} <= set(space.check(dict(space.fixed)).to_flat())


@every_space
def test_its_extremes_construct_a_run_on_every_side(name):
    space = load_space(name)
    for side in (0, -1):
        settings = {setting: extremes(distribution)[side] for setting, distribution in space.params.items()}
        config = space.check({**space.fixed, **settings})
        assert type(config.method) is space.method
        flat = config.to_flat()
        assert {setting: flat[setting] for setting in settings} == settings
        assert {setting: flat[setting] for setting in space.fixed} == space.fixed


@every_space
def test_it_searches_something_and_its_bounds_are_apart(name):
    params = load_space(name).params
    assert params
    for setting, distribution in params.items():
        assert not distribution.single(), setting


@every_space
def test_it_can_be_printed_and_logged(name):
    space = load_space(name)
    printed = repr(space)
    assert space.method.__name__ in printed
    for setting, distribution in space.params.items():
        assert setting in printed
        assert json_to_distribution(distribution_to_json(distribution)) == distribution


@every_space
def test_pinning_a_setting_fixes_it_instead_of_searching_it(name):
    space = load_space(name)
    setting, distribution = next(iter(space.params.items()))
    value = extremes(distribution)[0]
    pinned = space.pinned({setting: value})
    assert set(pinned.params) == set(space.params) - {setting}
    assert pinned.fixed == {**space.fixed, setting: value}
    assert pinned.method is space.method
    assert setting in space.params
    assert setting not in space.fixed


def test_pinning_leaves_out_what_belongs_to_other_methods():
    pinned = load_space("erm").pinned({"method/weight": 1.0, "training/batch_size": 16})
    assert "method/weight" not in pinned.fixed
    assert pinned.fixed["training/batch_size"] == 16


def test_a_misspelt_field_is_answered_with_the_valid_ones():
    with pytest.raises(SettingError, match=r"^method has no field 'probability': choose one of p$"):
        SearchSpace(method=DynamicReplacement, params={"method/probability": FloatDistribution(0, 1)})
    with pytest.raises(SettingError, match="no field 'lr': choose one of epochs, batch_size, shuffle, optimizer"):
        SearchSpace(method=Erm, params={"training/lr": FloatDistribution(0.1, 1)})


@pytest.mark.parametrize(
    ("setting", "distribution", "rule"),
    [
        ("method/p", FloatDistribution(0.5, 1.5), "method/p: .*less than or equal to 1, but got 1.5"),
        ("method/p", FloatDistribution(-0.5, 1.0), "method/p: .*greater than or equal to 0, but got -0.5"),
        ("training/batch_size", IntDistribution(0, 8), "training/batch_size: .*greater than or equal to 1, but got 0"),
        ("training/schedule", CategoricalDistribution(["cosine", "step"]), "training/schedule: .*but got 'step'"),
    ],
)
def test_a_bound_against_its_rule_is_answered_with_both(setting, distribution, rule):
    with pytest.raises(SettingError, match=rule):
        SearchSpace(method=DynamicReplacement, params={setting: distribution})


def test_a_wrong_fixed_value_beside_a_search_is_refused():
    with pytest.raises(SettingError, match=r"training/epochs: .*but got 0"):
        SearchSpace(
            method=DynamicReplacement, params={"method/p": FloatDistribution(0, 1)}, fixed={"training/epochs": 0}
        )


def test_a_setting_is_searched_or_fixed():
    with pytest.raises(SettingError, match=r"^'method/p' is both searched and fixed: keep one$"):
        SearchSpace(method=DynamicReplacement, params={"method/p": FloatDistribution(0, 1)}, fixed={"method/p": 0.5})


def test_an_unknown_space_is_answered_with_the_closest():
    with pytest.raises(UnknownNameError, match=r"unknown search space 'dynamic': .*dynamic_replacement"):
        load_space("dynamic")


def test_a_space_may_live_in_a_file_of_its_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from optuna.distributions import FloatDistribution\n"
        "from bgbias.methods.dynamic_replacement import DynamicReplacement\n"
        "from study.space import SearchSpace\n"
        "SPACE = SearchSpace(method=DynamicReplacement, params={'method/p': FloatDistribution(0.1, 0.2)})\n"
    )
    space = load_space(str(path))
    assert (space.method, space.params) == (DynamicReplacement, {"method/p": FloatDistribution(0.1, 0.2)})


def test_a_file_without_a_space_is_answered_with_what_it_lacks(tmp_path):
    path = tmp_path / "empty.py"
    path.write_text("")
    with pytest.raises(SettingError, match=r"empty\.py defines no SPACE: let it hold"):
        load_space(str(path))
    with pytest.raises(SettingError, match=r"no search space at .*absent\.py"):
        load_space(str(tmp_path / "absent.py"))


def test_a_file_that_cannot_be_imported_is_answered_with_why(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("SPACE = (")
    with pytest.raises(SettingError, match=r"broken\.py cannot be imported \(SyntaxError: "):
        load_space(str(path))


def test_a_wrong_fixed_value_is_refused_where_nothing_is_searched():
    with pytest.raises(SettingError, match=r"method/p: .*but got 7"):
        SearchSpace(method=DynamicReplacement, params={}, fixed={"method/p": 7})


def test_a_space_does_not_name_another_method():
    with pytest.raises(SettingError, match=r"'method/name' is given by the space's method: leave it out"):
        SearchSpace(method=DynamicReplacement, params={}, fixed={"method/name": "erm"})


def test_a_combination_searches_what_its_spaces_search():
    space, parts = load_space("dynamic_replacement+gradient_penalty"), ("dynamic_replacement", "gradient_penalty")
    assert space.method.name() == "dynamic_replacement+gradient_penalty"
    assert space.params == {name: value for part in parts for name, value in load_space(part).params.items()}
    assert space.fixed == {"training/schedule": "cosine"}
    config = space.check({**space.fixed, "method/p": 0.2, "method/weight": 3.0})
    assert (config.method.p, config.method.weight) == (0.2, 3.0)


def test_spaces_that_differ_in_a_setting_are_not_combined():
    with pytest.raises(
        SettingError,
        match=r"^the spaces dynamic_replacement and gradient_penalty_plain differ in 'training/learning_rate': fix it",
    ):
        load_space("dynamic_replacement+gradient_penalty_plain")


def test_methods_that_own_the_same_hook_are_not_combined():
    with pytest.raises(SettingError, match=r"^flow_embedding has a loss of its own, and gradient_penalty adds to"):
        methods.find("flow_embedding+gradient_penalty")
