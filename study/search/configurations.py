"""Numbered configurations of finite search spaces, so that none is tried twice."""

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from study.settings import Settings


class Configurations:
    """The configurations of a space, numbered from 0 if there are finitely many.

    size: the number of configurations; infinity if a setting is continuous
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self._values = {name: values(distribution) for name, distribution in space.items()}
        self.size = math.prod(len(found) if found else math.inf for found in self._values.values())

    def number(self, settings: Settings) -> int:
        """Find the number of a configuration; values may differ from the space's by rounding."""
        found = 0
        for name, known in self._values.items():
            found = found * len(known) + nearest(known, settings[name])
        return found

    def settings(self, number: int) -> Settings:
        """Make the configuration with a number, 0 <= number < size."""
        found: Settings = {}
        for name, known in reversed(self._values.items()):
            number, index = divmod(number, len(known))
            found[name] = known[index]
        return {name: found[name] for name in self._values}

    def unused(self, used: set[int], seed: int) -> Settings:
        """Choose a configuration whose number is not in `used`: the next free one after a random number."""
        number = Random(seed).randrange(int(self.size))
        while number in used:
            number = (number + 1) % int(self.size)
        return self.settings(number)


def values(distribution: BaseDistribution) -> Sequence[Any]:
    """List all values of a distribution; empty if there are infinitely many."""
    match distribution:
        case CategoricalDistribution():
            return distribution.choices
        case IntDistribution():
            return range(distribution.low, distribution.high + 1, distribution.step)
        case FloatDistribution() if distribution.step is not None:
            steps = round((distribution.high - distribution.low) / distribution.step)
            return [distribution.low + step * distribution.step for step in range(steps + 1)]
        case FloatDistribution() if distribution.low == distribution.high:
            return [distribution.low]
    return ()


def nearest(known: Sequence[Any], value: Any) -> int:
    """Find the position of a value in a list that holds it up to rounding."""
    if value in known:
        return known.index(value)
    return min(range(len(known)), key=lambda index: abs(known[index] - value))
