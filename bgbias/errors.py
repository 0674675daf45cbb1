"""Errors a user can act on: each says what is wrong, the value, and the way out."""

import difflib
from collections.abc import Iterable, Sequence

NAMED = 3
"""Number of names that a message lists."""


def listed(names: Sequence[str], between: str = ", ", last: str = " and ") -> str:
    """The first `NAMED` names, and the number of the others."""
    more = f"{last}{len(names) - NAMED} more" if len(names) > NAMED else ""
    return between.join(names[:NAMED]) + more


class BgbiasError(Exception):
    """Base of every error that the user can fix."""


class SettingError(BgbiasError):
    """A hyper-parameter, option or configuration holds a value that its rule forbids."""


class DataError(BgbiasError):
    """A data file is missing, cut short or not what it should be."""


class CheckpointError(BgbiasError):
    """A checkpoint is missing, damaged or made for something else."""


class UnknownNameError(BgbiasError):
    """A name is not among the known ones of its kind."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        super().__init__(f"unknown {kind} '{name}': {hint}choose one of {', '.join(names)}")
