"""Components: datasets, methods, models and flow families, found by looking into their package.

A component is a frozen, keyword-only dataclass. Its fields are its hyper-parameters; its name is its class's name in
snake case. A new file in the package is all it takes to add one.
"""

import dataclasses
import importlib
import importlib.util
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, TypeVar, cast, dataclass_transform

import pydantic.dataclasses
from pydantic import ConfigDict, Field, ValidationError

from bgbias.errors import SettingError, UnknownNameError

CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False)
"""Validation of every component's dataclass: unknown fields, inf and NaN are refused."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A number in [0, 1]: a probability or a fraction."""
NonNegative = Annotated[float, Field(ge=0)]
"""A number >= 0, such as the weight of a penalty."""
Positive = Annotated[float, Field(gt=0)]
"""A number > 0, such as a learning rate."""
Count = Annotated[int, Field(ge=1)]
"""A whole number >= 1."""
Pixels = Annotated[int, Field(ge=0)]
"""A distance in pixels, a whole number >= 0."""
Seed = Annotated[int, Field(ge=0)]
"""A whole number >= 0 that random numbers are derived from."""

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def component(cls: type[T]) -> type[T]:
    """Make a class a component: a frozen, keyword-only dataclass whose fields are validated on construction."""
    made: Any = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=CHECKED)(cls)
    return cast(type[T], made)


class Component:
    """Base of all datasets, methods and models; subclasses are decorated with `component`."""

    @classmethod
    def name(cls) -> str:
        """The name users type: the class's name in snake case, such as `gradient_penalty` for `GradientPenalty`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()


C = TypeVar("C", bound=Component)


class Registry(Mapping[str, type[C]]):
    """The components of one kind by name, sorted.

    Found are the subclasses of `base` that are not abstract and that a module of `package` defines; a component with
    many parts is a folder there, and its module called as the kind, such as `flow/method.py`, defines the class.
    """

    def __init__(self, kind: str, package: str, base: type[C]) -> None:
        """Name the package to look into.

        Args:
            kind: the word for a component in messages, such as `method`.
            package: the package's dotted name; its modules are imported at the first look-up.
            base: the components' base class.
        """
        self._kind, self._package, self._base = kind, package, base

    @cached_property
    def _found(self) -> dict[str, type[C]]:
        found: dict[str, type[C]] = {}
        package = importlib.import_module(self._package)
        for info in pkgutil.iter_modules(package.__path__, f"{self._package}."):
            place = f"{info.name}.{self._kind}" if info.ispkg else info.name
            if info.ispkg and importlib.util.find_spec(place) is None:
                continue
            module = importlib.import_module(place)
            for item in vars(module).values():
                if isinstance(item, type) and issubclass(item, self._base) and item.__module__ == module.__name__:
                    self._add(found, item)
        return dict(sorted(found.items()))

    def _add(self, found: dict[str, type[C]], item: type[C]) -> None:
        if not dataclasses.is_dataclass(item) or inspect.isabstract(item):
            return
        other = found.setdefault(item.name(), item)
        if other is not item:
            raise SettingError(
                f"two {self._kind} components are called '{item.name()}', in {other.__module__} and "
                f"{item.__module__}: rename one class"
            )

    def __getitem__(self, name: str) -> type[C]:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def find(self, name: str) -> type[C]:
        """The component called `name`.

        Raises:
            UnknownNameError: there is none; the message lists the known ones.
        """
        if name not in self._found:
            raise UnknownNameError(self._kind, name, self._found)
        return self._found[name]


def make(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """`cls(**values)` with pydantic's findings turned into one line.

    Raises:
        SettingError: a field is unknown, missing or out of range. `where` says whose field it is.
    """
    try:
        return cls(**values)
    except ValidationError as error:
        raise SettingError("; ".join(_explain(item, cls, where) for item in error.errors())) from None


def field_names(cls: type) -> list[str]:
    """The names of a dataclass's fields, in order."""
    return [field.name for field in dataclasses.fields(cls)]


def _explain(item: Any, cls: type, where: str) -> str:
    field = "/".join(str(part) for part in item["loc"]) or "value"
    if item["type"] == "unexpected_keyword_argument":
        known = ", ".join(field_names(cls))
        way_out = f"choose one of {known}" if known else "it has none, leave it out"
        return f"{where} has no field '{field}': {way_out}"
    rule = item["msg"][0].lower() + item["msg"][1:]
    return f"{where}/{field}: {rule}, but got {item['input']!r}"
