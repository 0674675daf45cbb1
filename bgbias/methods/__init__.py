"""One file per method; each defines one `Method`."""

import sys
from collections.abc import Mapping
from functools import cache

from bgbias.components import discover, find
from bgbias.methods.method import Method


@cache
def methods() -> Mapping[str, type[Method]]:
    """Every method by its name."""
    return discover(sys.modules[__name__], Method)


def find_method(name: str) -> type[Method]:
    """The method called `name`.

    Raises:
        UnknownNameError: there is none.
    """
    return find("method", name, methods())
