"""Two consoles: what happens is told on standard error, so that standard output holds results and nothing else."""

import shlex
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

WIDE = 160
"""Columns of what is no terminal: files and logs, which would else get tables of 80 columns, cut short."""

T = TypeVar("T")

console = Console(stderr=True, highlight=False)
results = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)


def command_line(*words: object) -> str:
    """A `study` command as a shell takes it, such as `study resume 'my study'`."""
    return shlex.join(["study", *map(str, words)])


def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal, such as `97.1 %`."""
    return f"{100 * fraction:.1f} %"


def rounded(value: object) -> str:
    """A setting's value as it is read: a number with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def progress_bar(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """The items, with a bar on standard error that goes away at the end: a tracker for `bgbias.progress`."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield from bars.track(items, total=total, description=what)
