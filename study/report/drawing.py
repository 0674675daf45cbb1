"""Colours, panels and texts that all figures share."""

from collections.abc import Sequence
from typing import TypeVar

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from bgbias.metrics import is_share, label_of
from study.display import percent, rounded
from study.record.selection import Row, Trial
from study.report.tables import Report
from study.settings import Settings, short

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f", "#b5a000", "#117733")
"""Told apart with any colour vision: the first six are of M. Okabe and K. Ito, "Color Universal Design", 2008."""
MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "x", "pentagon")
PANELS = 3
"""Panels beside each other."""
ROW = 250
"""Height of a row of panels, in pixels."""
GAP, TOP, BOTTOM = 75, 45, 90
"""Pixels between two rows, above the first and below the last, where the legend stands."""
OWN = ("method/", "training/", "model/")
"""Prefixes of the settings in a trial's hover text."""

Item = TypeVar("Item")


def color(at: int) -> str:
    """The colour of the space or variant at a place in the report."""
    return COLORS[at % len(COLORS)]


def mark(at: int) -> str:
    """Its marker."""
    return MARKS[at % len(MARKS)]


def spaces(report: Report) -> dict[str, str]:
    """Every space of a report with its colour, in order."""
    names = dict.fromkeys(row.space for row in report.rows)
    return {name: color(at) for at, name in enumerate(names)}


def trials_of(report: Report, space: str) -> list[Trial]:
    """One space's trials."""
    return [trial for trial in report.trials if trial.space == space]


def panels(
    titles: Sequence[str], *, shared_y: bool, heights: Sequence[int] = ()
) -> tuple[go.Figure, list[dict[str, int]]]:
    """A figure of titled panels in rows, and the place of each.

    Args:
        shared_y: whether panels of a row have one vertical axis.
        heights: of each row in pixels; empty is `ROW` for all.
    """
    columns = max(1, min(PANELS, len(titles)))
    rows = max(1, -(-len(titles) // columns))
    heights = heights or [ROW] * rows
    inside = sum(heights) + (rows - 1) * GAP
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=titles,
        shared_yaxes=shared_y,
        horizontal_spacing=0.04 if shared_y else 0.17,
        vertical_spacing=GAP / inside if rows > 1 else 0,
        row_heights=heights,
    )
    places = [{"row": at // columns + 1, "col": at % columns + 1} for at in range(len(titles))]
    return finished(figure, inside + TOP + BOTTOM), places


def in_rows(items: Sequence[Item]) -> list[Sequence[Item]]:
    """The items of each row of panels."""
    return [items[start : start + PANELS] for start in range(0, len(items), PANELS)]


def broken(space: str) -> str:
    """A space's name, that of a combination on a line for each part."""
    return space.replace("+", "<br>+")


def finished(figure: go.Figure, height: int) -> go.Figure:
    """The figure in the page's style, `height` pixels high."""
    legend = {"orientation": "h", "y": -(BOTTOM - 35) / (height - TOP - BOTTOM), "yanchor": "top", "x": 0}
    return figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 70, "r": 25, "t": TOP, "b": BOTTOM},
        legend=legend,
        hoverlabel={"align": "left"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": "#999"},
        font={"size": 12},
    )


def percents(fractions: Sequence[float]) -> list[float]:
    """Fractions in percent."""
    return [100 * fraction for fraction in fractions]


def scaled(metric: str, values: Sequence[float]) -> list[float]:
    """A metric's values as they are drawn: shares in percent, losses as they are."""
    return percents(values) if is_share(metric) else list(values)


def with_unit(metric: str) -> str:
    """A metric's short name with its unit, such as `shuffled [%]`."""
    return f"{label_of(metric)} [%]" if is_share(metric) else label_of(metric)


def settings_text(config: Settings) -> str:
    """A configuration's own settings, one a line."""
    own = {name: value for name, value in config.items() if name.startswith(OWN) and not name.endswith("/name")}
    return "<br>".join(f"{short(name)} = {rounded(value)}" for name, value in own.items())


def winner_text(row: Row) -> str:
    """Describe the winner of a variant: its checkpoint, its accuracies and its settings."""
    return (
        f"<b>{row.space}</b> on {row.variant}<br>trial {row.trial}, epoch {row.epoch}"
        f"<br>validation {percent(row.val_accuracy, 2)}, test {percent(row.test_accuracy, 2)}"
        f"<br>{settings_text(row.config)}"
    )
