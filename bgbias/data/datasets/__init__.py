"""One file per dataset; each defines one `DatasetSpec`."""

import sys
from collections.abc import Mapping
from functools import cache

from bgbias.components import discover, find
from bgbias.data.dataset import DatasetSpec


@cache
def datasets() -> Mapping[str, type[DatasetSpec]]:
    """Every dataset by its name."""
    return discover(sys.modules[__name__], DatasetSpec)


def find_dataset(name: str) -> type[DatasetSpec]:
    """The dataset called `name`.

    Raises:
        UnknownNameError: there is none.
    """
    return find("dataset", name, datasets())
