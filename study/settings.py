"""Settings as they are recorded and reported."""

from typing import Any

Settings = dict[str, Any]
"""Flat names of settings, such as `method/weight`, and their plain values."""


def of_space(space: str, settings: Settings) -> Settings:
    """Choose the settings of one space: `SPACE:method/weight` is for SPACE alone, and goes before `method/weight`."""
    scoped = {tuple(name.rpartition(":")[::2]): value for name, value in settings.items()}
    return {name: value for scope in ("", space) for (of, name), value in scoped.items() if of == scope}


def short(name: str) -> str:
    """A setting without what it belongs to: `method/weight` is `weight`."""
    return name.rpartition("/")[2]
