"""Import components without torch, to list their names and options: torch alone takes two seconds to import.

Meanwhile `import torch` gives an empty module, any attribute of which is an empty class. Nothing can be computed.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar

STOOD_IN = ("torch", "torchvision", "normflows")
"""Packages that components import, and that their names and options do not need."""
IMPORTING = ("bgbias", "search_spaces", "study", *STOOD_IN)
"""Packages with modules that hold an empty class, once they were imported here."""

T = TypeVar("T")


class _Anything(type):
    """The type of the empty classes: every attribute, call, index or operator gives an empty class again."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _empty(name)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        return _empty(cls.__name__)

    def __getitem__(cls, item: Any) -> Any:
        return cls


def _empty(name: str) -> Any:
    return _Anything(name, (), {})


class _EmptyModule(ModuleType):
    """A module, any attribute of which is an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _empty(name)


class _Finder:
    """Finds an empty module for the packages of `STOOD_IN` and everything below them."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in STOOD_IN else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _EmptyModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module empty."""


def without_torch(make: Callable[[], T]) -> T:
    """Return `make()`, run without torch if it can be.

    A component that computes with torch when it is imported cannot: `make` is then run again with torch.
    """
    if "torch" in sys.modules:
        return make()
    with contextlib.suppress(Exception), _stood_in():
        return make()
    return make()


@contextlib.contextmanager
def _stood_in() -> Iterator[None]:
    """Import empty modules; afterwards forget them, and every module of the project that was imported meanwhile."""
    finder, before = _Finder(), set(sys.modules)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            if name.split(".")[0] in IMPORTING:
                del sys.modules[name]
