"""Search spaces: checked data, built from Optuna's own distributions."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from bgbias.components import field_names
from bgbias.config import NAME, RunConfig
from bgbias.data.datasets import datasets
from bgbias.errors import BgbiasError, SettingError, UnknownNameError
from bgbias.methods.combined import SEPARATOR, combined
from bgbias.methods.method import Method

PACKAGE = "search_spaces"
METHOD_NAME = f"method/{NAME}"


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """The settings to search for one method, and their ranges.

    method: the method's class
    params: flat names of settings (`method/weight`, `training/learning_rate`) to Optuna distributions
    fixed: flat names of settings to values that differ from their defaults and are not searched
    objectives: the validation metrics that the search improves, such as `val/shuffled/accuracy`, or names of variants
        for their accuracy; empty for the dataset's own
    dataset: the name of the dataset whose settings may be searched or fixed; a study puts its own here

    Raises:
        SettingError: a name is no setting, or a bound breaks the setting's rule.
    """

    method: type[Method]
    params: Mapping[str, BaseDistribution]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    dataset: str = field(default_factory=lambda: next(iter(datasets)))

    def __post_init__(self) -> None:
        if METHOD_NAME in {*self.fixed, *self.params}:
            raise SettingError(f"'{METHOD_NAME}' is given by the space's method: leave it out")
        self.check(self.fixed)
        for name, distribution in self.params.items():
            if name in self.fixed:
                raise SettingError(f"'{name}' is both searched and fixed: keep one")
            for value in _extremes(distribution):
                self.check({**self.fixed, name: value})

    def check(self, settings: Mapping[str, Any]) -> RunConfig:
        """Make a configuration of this space's method from flat settings.

        Raises:
            SettingError: a name is no setting, or a value breaks its rule.
        """
        return RunConfig.from_flat({"dataset/name": self.dataset, METHOD_NAME: self.method.name(), **settings})

    def examples(self) -> list[dict[str, Any]]:
        """List settings that together hold every choice and both ends of every range.

        The first has every setting at its first or lowest value, the next at its second, and so on.
        """
        values = {name: _extremes(distribution) for name, distribution in self.params.items()}
        count = max((len(found) for found in values.values()), default=1)
        return [{name: found[min(at, len(found) - 1)] for name, found in values.items()} for at in range(count)]

    def pinned(self, settings: Mapping[str, Any], dataset: str | None = None) -> "SearchSpace":
        """Fix settings instead of searching them, on a dataset; settings of other methods are ignored."""
        own = {f"method/{name}" for name in field_names(self.method)}
        mine = {name: value for name, value in settings.items() if not name.startswith("method/") or name in own}
        return replace(
            self,
            params={name: domain for name, domain in self.params.items() if name not in mine},
            fixed={**self.fixed, **mine},
            dataset=dataset or self.dataset,
        )


def space_names() -> list[str]:
    """List the spaces under `search_spaces`, sorted."""
    return sorted(info.name for info in pkgutil.iter_modules(importlib.import_module(PACKAGE).__path__))


def compared() -> tuple[str, ...]:
    """The default spaces of a study; the first is the baseline of the comparison."""
    names: tuple[str, ...] = importlib.import_module(PACKAGE).COMPARED
    return names


def load_space(name: str, recorded: Path | None = None) -> SearchSpace:
    """Load a space.

    Args:
        name: of a file under `search_spaces`, several of these with `+` between, or the path of a Python file that
            defines `SPACE`.
        recorded: folder of the files that a study recorded when it began, which are loaded instead.

    Raises:
        UnknownNameError: there is no such space or file.
        SettingError: the file defines no SPACE, or an invalid one.
    """
    path = Path(name)
    if path.suffix != ".py" and SEPARATOR in name:
        return merged({part: load_space(part, recorded) for part in name.split(SEPARATOR)})
    if recorded is not None:
        module = _load_file(recorded / f"{label(name)}.py")
    elif path.suffix == ".py":
        module = _load_file(path)
    elif name in space_names():
        module = importlib.import_module(f"{PACKAGE}.{name}")
    else:
        raise UnknownNameError("search space", name, [*space_names(), "a path to a .py file"])
    space = getattr(module, "SPACE", None)
    if not isinstance(space, SearchSpace):
        raise SettingError(f"{name} defines no SPACE: let it hold `SPACE = SearchSpace(...)`")
    return space


def merged(spaces: Mapping[str, SearchSpace]) -> SearchSpace:
    """Make the space of a combination of methods: all settings that any of their spaces searches or fixes.

    Args:
        spaces: by name, one for each method.

    Raises:
        SettingError: two of them treat a setting differently, or their methods cannot be combined.
    """
    settings: dict[str, tuple[str, Any]] = {}
    for name, space in spaces.items():
        for setting, value in {**space.params, **space.fixed}.items():
            other, known = settings.setdefault(setting, (name, value))
            if known != value:
                raise SettingError(
                    f"the spaces {other} and {name} differ in '{setting}': fix it in both or write a space file"
                )
    first = next(iter(spaces.values()))
    return replace(
        first,
        method=combined(tuple(space.method for space in spaces.values())),
        params={name: value for space in spaces.values() for name, value in space.params.items()},
        fixed={name: value for space in spaces.values() for name, value in space.fixed.items()},
    )


def space_files(name: str) -> list[Path]:
    """List the files that `load_space` loads: one, or one for each of several names with `+` between."""
    if name.endswith(".py"):
        return [Path(name)]
    found = (importlib.util.find_spec(f"{PACKAGE}.{part}") for part in name.split(SEPARATOR))
    return [Path(spec.origin) for spec in found if spec is not None and spec.origin is not None]


def change_since(name: str, recorded: Path) -> str | None:
    """Describe in one line how a space has changed since a study recorded it; None if it has not."""
    try:
        now = load_space(name)
    except BgbiasError as error:
        return f"cannot be loaded any more ({error})"
    before, after = (_described(space) for space in (load_space(name, recorded), now))
    changed = [
        f"{key} was {before.get(key, 'left out')} and is {after.get(key, 'left out')}"
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    ]
    return f"has changed ({'; '.join(changed)})" if changed else None


def _described(space: SearchSpace) -> dict[str, str]:
    values = {"method": space.method.name(), **space.fixed, **space.params}
    return {name: str(value) for name, value in values.items()}


def label(name: str) -> str:
    """Name of a space in tables and folders: its own name, or that of its file without the ending."""
    return Path(name).stem


def _load_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SettingError(f"no search space at {path}: give a name or the path of a .py file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BgbiasError:
        raise
    except Exception as error:  # a user's file may fail in any way
        raise SettingError(f"{path} cannot be imported ({type(error).__name__}: {error}): fix it") from None
    return module


def _extremes(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return [distribution.low, distribution.high]
    raise SettingError(f"a search space takes Float, Int and Categorical distributions, but got {distribution!r}")
