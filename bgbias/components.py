"""Named parts with checked fields: datasets, methods and models are found by looking, never listed.

A component is a frozen, keyword-only dataclass whose fields are its hyper-parameters; its name is the file it
lives in. Dropping a file into the package is all it takes to add one.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any, TypeVar

from pydantic import ConfigDict, ValidationError

from bgbias.errors import SettingError, UnknownNameError

CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False)
"""How every component's dataclass is validated: unknown fields, inf and NaN are refused."""


class Component:
    """Base of all datasets, methods and models; subclasses are frozen pydantic dataclasses."""

    @classmethod
    def name(cls) -> str:
        """The name users type: the file's name."""
        return cls.__module__.rsplit(".", 1)[-1]


C = TypeVar("C", bound=Component)
T = TypeVar("T")


def discover(package: ModuleType, base: type[C]) -> dict[str, type[C]]:
    """Every subclass of `base` that a module of `package` defines, by its name, sorted."""
    found: dict[str, type[C]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for item in vars(module).values():
            if (
                isinstance(item, type)
                and issubclass(item, base)
                and item is not base
                and item.__module__ == module.__name__
            ):
                found[item.name()] = item
    return dict(sorted(found.items()))


def find(kind: str, name: str, known: Mapping[str, type[C]]) -> type[C]:
    """The component called `name`.

    Raises:
        UnknownNameError: there is none; the message lists the known ones.
    """
    if name not in known:
        raise UnknownNameError(kind, name, known)
    return known[name]


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
        return f"{where} has no field '{field}': choose one of {', '.join(field_names(cls)) or '(none)'}"
    rule = item["msg"][0].lower() + item["msg"][1:]
    return f"{where}/{field}: {rule}, but got {item['input']!r}"
