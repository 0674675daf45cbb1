"""Search spaces whose configurations can be counted, so that none need be tried twice."""

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from study.settings import Settings


class Grid:
    """The configurations of a space, numbered from 0, or infinitely many of them.

    size: how many there are; infinity where a setting has any number of an interval
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self._values = {name: values(distribution) for name, distribution in space.items()}
        self.size = math.prod(len(found) if found else math.inf for found in self._values.values())

    def number(self, settings: Settings) -> int:
        """The number of a configuration, whose values are those of the space but for rounding."""
        found = 0
        for name, known in self._values.items():
            found = found * len(known) + nearest(known, settings[name])
        return found

    def settings(self, number: int) -> Settings:
        """The configuration of a number."""
        found: Settings = {}
        for name, known in reversed(self._values.items()):
            number, index = divmod(number, len(known))
            found[name] = known[index]
        return {name: found[name] for name in self._values}

    def unused(self, used: set[int], seed: int) -> Settings:
        """A configuration whose number is not among some, the first from a random one on."""
        number = Random(seed).randrange(int(self.size))
        while number in used:
            number = (number + 1) % int(self.size)
        return self.settings(number)


def values(distribution: BaseDistribution) -> Sequence[Any]:
    """All values of a distribution; none where they are infinitely many."""
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
    """Where a value stands in a list that holds it, but for rounding."""
    if value in known:
        return known.index(value)
    return min(range(len(known)), key=lambda index: abs(known[index] - value))
