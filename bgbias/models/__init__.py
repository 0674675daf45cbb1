"""One file per model; each defines one `Model`."""

import sys
from collections.abc import Mapping
from functools import cache

from bgbias.components import discover, find
from bgbias.models.model import Model


@cache
def models() -> Mapping[str, type[Model]]:
    """Every model by its name."""
    return discover(sys.modules[__name__], Model)


def find_model(name: str) -> type[Model]:
    """The model called `name`.

    Raises:
        UnknownNameError: there is none.
    """
    return find("model", name, models())
