"""`--set FIELD=VALUE` from the command line."""

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bgbias.components import field_names
from bgbias.config import NAME
from bgbias.data.datasets import datasets
from bgbias.errors import SettingError
from bgbias.evaluation.evaluate import Evaluation
from bgbias.methods import methods
from bgbias.models import models
from bgbias.optimization import Training

OPTIONS = ("seed", "data", "epochs", "dataset")
"""Settings that have an option of their own."""
CHOSEN = {f"dataset/{NAME}": "--dataset", f"method/{NAME}": "the command's argument"}
"""Settings that are not chosen by `--set`, and the option or argument that chooses them."""


def parse_settings(given: Sequence[str], *, spaces: bool = False) -> dict[str, Any]:
    """`weight=0.1` and `training/batch_size=32` as flat settings; a bare field is the method's.

    Values stay strings (`none` is None); the component that owns the field reads and checks them.

    Args:
        spaces: whether `SPACE:FIELD=VALUE` may set a field of one space (`study.settings.of_space`).

    Raises:
        SettingError: an item is not FIELD=VALUE, FIELD is close to another setting or option, names the dataset or the
            method, or has a space where there is none.
    """
    settings: dict[str, Any] = {}
    for item in given:
        field, equals, value = item.partition("=")
        if not field or not equals:
            raise SettingError(f"--set takes FIELD=VALUE, but got '{item}'")
        scope, colon, field = field.rpartition(":")
        if colon and not (scope and spaces):
            raise SettingError(f"'{scope}:' names a space of a study, which is not asked for here: leave it out")
        key = field if "/" in field else f"method/{field}"
        if key in CHOSEN:
            raise SettingError(f"'{key}' is not set by --set: give {value} as {CHOSEN[key]}")
        if key not in known_settings():
            suggest(field, key, value)
        settings[f"{scope}{colon}{key}"] = None if value.lower() == "none" else absolute_path(value)
    return settings


def known_settings() -> list[str]:
    """Every setting of every dataset, method and model, of training and of evaluation."""
    components: list[tuple[str, Mapping[str, type]]] = [("dataset", datasets), ("method", methods), ("model", models)]
    found = [f"{section}/{name}" for section, kind in components for cls in kind.values() for name in field_names(cls)]
    found.append(f"model/{NAME}")
    found += [f"training/{name}" for name in field_names(Training)]
    found += [f"evaluation/{name}" for name in field_names(Evaluation)]
    return list(dict.fromkeys(found))


def suggest(field: str, key: str, value: str) -> None:
    """Name the option or the settings, of any section, that an unknown setting is close to, if there are any.

    Raises:
        SettingError: there is one.
    """
    last = field.rpartition("/")[2]
    names = [known.partition("/")[2] for known in known_settings()]
    close = difflib.get_close_matches(last, [*OPTIONS, *names], n=1)
    if not close:
        return
    if close[0] in OPTIONS:
        raise SettingError(f"'{field}' is not set by --set: give --{close[0]} {value}")
    same = [known for known in known_settings() if known.partition("/")[2] == close[0]]
    meant = " or ".join(f"'{known}'" for known in same)
    raise SettingError(f"no setting is called '{key}': did you mean {meant}?")


def absolute_path(value: str) -> str:
    """A value as it is, but the path of something here as an absolute one, since trials run elsewhere."""
    return str(Path(value).absolute()) if os.sep in value and Path(value).exists() else value
