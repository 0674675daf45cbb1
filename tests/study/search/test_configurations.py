import math

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from study.search.configurations import Configurations

SPACE = {
    "form": CategoricalDistribution(["plain", "aggregated", None]),
    "dilation": IntDistribution(1, 5, step=2),
    "p": FloatDistribution(0.1, 0.4, step=0.1),
}


def test_every_configuration_has_its_number():
    configurations = Configurations(SPACE)
    assert configurations.size == 3 * 3 * 4
    found = [configurations.settings(number) for number in range(36)]
    assert len({tuple(settings.values()) for settings in found}) == 36
    assert [configurations.number(settings) for settings in found] == list(range(36))
    assert found[0] == {"form": "plain", "dilation": 1, "p": 0.1}


def test_rounding_does_not_make_another_configuration():
    configurations = Configurations(SPACE)
    same = {"form": None, "dilation": 3, "p": 0.30000000000000004}
    assert configurations.number(same) == configurations.number({**same, "p": 0.3})


@pytest.mark.parametrize(
    ("distribution", "size"),
    [
        (FloatDistribution(0, 1), math.inf),
        (FloatDistribution(0.5, 0.5), 1),
        (IntDistribution(1, 1_000_000_000, log=True), 1_000_000_000),
    ],
)
def test_only_intervals_are_without_end(distribution, size):
    assert Configurations({"x": distribution}).size == size


def test_an_unused_configuration_is_found_among_used_ones():
    configurations = Configurations({"x": IntDistribution(0, 9)})
    assert {configurations.unused(set(range(10)) - {4}, seed)["x"] for seed in range(5)} == {4}
