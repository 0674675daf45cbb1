"""`--set FIELD=VALUE` from the command line."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bgbias.errors import SettingError


def parse_settings(given: Sequence[str]) -> dict[str, Any]:
    """`weight=0.1` and `training/batch_size=32` as flat settings; a bare field is the method's.

    Values stay strings (`none` is None); the component that owns the field reads and checks them.

    Raises:
        SettingError: an item is not FIELD=VALUE.
    """
    settings: dict[str, Any] = {}
    for item in given:
        field, equals, value = item.partition("=")
        if not field or not equals:
            raise SettingError(f"--set takes FIELD=VALUE, but got '{item}'")
        key = field if "/" in field else f"method/{field}"
        settings[key] = None if value.lower() == "none" else anchored(value)
    return settings


def anchored(value: str) -> str:
    """A value as it is, but the path of something here as an absolute one, since trials run elsewhere."""
    return str(Path(value).absolute()) if os.sep in value and Path(value).exists() else value
