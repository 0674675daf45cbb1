"""Two consoles: progress and messages go to standard error, results alone to standard output."""

import math
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean, stdev
from typing import Any, TypeVar

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from bgbias.metrics import is_share

UNLIMITED = 1 << 16
"""Columns that no table fills."""
BAR_WIDTH = 12
"""Columns of a progress bar, which leave room for a description on a terminal of 80."""

T = TypeVar("T")


def no_color() -> bool:
    """Return True if the user asks for output without colours (https://no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))


def new_console(**settings: Any) -> Console:
    """Make a console with rich's settings; under NO_COLOR without bold and dim text too, which rich would keep."""
    return Console(highlight=False, color_system=None if no_color() else "auto", **settings)


console = new_console(stderr=True)
results = new_console()


def plain(shown: Console) -> bool:
    """Return True if output has no colours and no box characters: in files and pipes, and under NO_COLOR."""
    return not shown.is_terminal or no_color()


def natural_width(table: Table) -> int:
    """Width of a table, in columns of the terminal, if no cell is wrapped."""
    return Measurement.get(results, results.options.update(max_width=UNLIMITED), table).maximum


def show_table(table: Table) -> None:
    """Print a table under its title. Files and pipes have no width, and on a terminal no character is left out."""
    title, table.title = table.title, None
    if title:
        results.print(title, soft_wrap=not results.is_terminal)
    for column in table.columns:
        column.overflow = "fold"
    if plain(results):
        table.box, table.padding, table.pad_edge = None, (0, 2, 0, 0), False
    if not results.is_terminal:
        table.width = natural_width(table)
    results.print(table, crop=False)


def show_line(line: str, shown: Console | None = None) -> None:
    """Print a line of text, on standard error if no console is given.

    A terminal breaks it between words, never inside a name, a number or a path; files and pipes get it whole.
    """
    shown = shown or console
    text, breaks, start = shown.render_str(line), list[int](), 0
    for word in re.finditer(r"\S+", text.plain):
        if shown.is_terminal and start < word.start() and word.end() > start + shown.width:
            start = word.start()
            breaks.append(start)
    for part in text.divide(breaks):
        part.rstrip()
        shown.print(part, soft_wrap=True)


def work_columns() -> list[ProgressColumn]:
    """Columns of a progress bar for work of known size."""
    return progress_columns(TimeRemainingColumn())


def progress_columns(time: ProgressColumn) -> list[ProgressColumn]:
    """The columns of a progress line: the counts and the time first, since a narrow terminal cuts the last one short.

    In files and pipes, and under NO_COLOR, there is no bar.
    """
    bars = [] if plain(console) else [BarColumn(BAR_WIDTH)]
    return [MofNCompleteColumn(), time, *bars, TextColumn("{task.description}")]


def counted(number: int, noun: str) -> str:
    """A number of things, such as `1 epoch` and `2 epochs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def command_line(*words: object) -> str:
    """A `study` command as a shell takes it, such as `study resume 'my study'`."""
    return shlex.join(["study", *map(str, words)])


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction as a percentage, such as `97.1 %`."""
    return f"{in_percent(fraction, digits)} %"


def in_percent(fraction: float, digits: int = 2) -> str:
    """A fraction as a percentage without the sign, such as `97.12`, where a heading holds it."""
    return f"{100 * fraction:.{digits}f}"


def with_spread(mean: float, std: float | None, digits: int = 2) -> str:
    """A mean with its standard deviation if there is one, both in percent, such as `97.12 ± 0.31`."""
    return in_percent(mean, digits) + (f" ± {in_percent(std, digits)}" if std is not None else "")


def with_spread_of(values: Sequence[float]) -> str:
    """The mean of fractions with their sample standard deviation, as `with_spread` shows them."""
    return with_spread(fmean(values), stdev(values) if len(values) > 1 else None)


def points(difference: float) -> str:
    """A difference of fractions in percentage points, such as `+1.20`."""
    return f"{100 * difference:+.2f}"


def rounded(value: object) -> str:
    """A setting's value as it is read: a number with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def measured(metric: str, value: float) -> str:
    """A metric's value: a share in percent, such as an accuracy, and a loss with four digits."""
    return percent(value) if is_share(metric) else f"{value:.4g}"


def progress_bar(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """The items, with a bar on standard error that goes away at the end: a tracker for `bgbias.progress`."""
    with Progress(*work_columns(), console=console, transient=True, disable=not console.is_terminal) as bars:
        yield from bars.track(items, total=total, description=what)


def finite(value: object) -> object:
    """Replace NaN and infinity, which JSON does not have, by null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
