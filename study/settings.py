"""Settings as they are recorded and reported."""

from typing import Any

Settings = dict[str, Any]
"""Flat names of settings, such as `method/weight`, and their plain values."""


def short(name: str) -> str:
    """A setting without what it belongs to: `method/weight` is `weight`."""
    return name.rpartition("/")[2]
