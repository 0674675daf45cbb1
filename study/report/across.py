"""Several studies of the same spaces against what they differ in, such as the strength of the bias or the masks."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import plotly.graph_objects as go

from bgbias.metrics import label_of
from study.display import in_percent
from study.report import analysis
from study.report.drawing import color, mark, panels, percents
from study.report.tables import Report
from study.settings import short


class Point(NamedTuple):
    """A space's test accuracy on a variant in one study, in [0, 1], and the ends of its 95 % interval over seeds."""

    value: float
    low: float
    high: float


def figures(reports: Sequence[Report]) -> list[tuple[str, go.Figure]]:
    """Of studies with the same spaces on one dataset, accuracy against what they differ in, with the figure's title."""
    alike: dict[tuple[str, frozenset[str]], list[Report]] = {}
    for report in reports:
        alike.setdefault((report.config.dataset, frozenset(row.space for row in report.rows)), []).append(report)
    return [
        (f"{dataset}: test accuracy by {varied(mine)[0]}", across(mine))
        for (dataset, _), mine in alike.items()
        if len(mine) > 1 and common_variants(mine)
    ]


def varied(reports: Sequence[Report]) -> tuple[str, list[Any]]:
    """The one setting that studies differ in and its value in each, or what their names share and the rest of each."""
    names = sorted({name for report in reports for name in report.config.settings})
    values = {name: [next((row.config.get(name) for row in report.rows), None) for report in reports] for name in names}
    differing = [name for name, found in values.items() if len(set(map(str, found))) > 1]
    if len(differing) == 1 and len(set(map(str, values[differing[0]]))) == len(reports):
        return short(differing[0]), [number(value) for value in values[differing[0]]]
    return shared([report.name for report in reports])


def shared(names: Sequence[str]) -> tuple[str, list[Any]]:
    """The words between hyphens that all names begin with, and the rest of each name; or `study` and the names."""
    split = [name.split("-") for name in names]
    same = [words[0] for words in takewhile(lambda words: len(set(words)) == 1, zip(*split, strict=False))]
    rest = ["-".join(words[len(same) :]) for words in split]
    return ("-".join(same), rest) if same and all(rest) else ("study", list(names))


def number(value: Any) -> Any:
    """A value as a number where its text is one."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


def common_variants(reports: Sequence[Report]) -> list[str]:
    """The variants that all of the studies have, in the first one's order."""
    return [variant for variant in reports[0].variants if all(variant in report.variants for report in reports)]


def points(report: Report, variant: str) -> dict[str, Point]:
    """Every space's accuracy on a variant: the mean over fresh seeds where there are any, or the winner's."""
    found = {row.space: Point(*[row.test_accuracy] * 3) for row in report.rows if row.variant == variant}
    for row in report.seed_rows:
        if row.variant == variant:
            low, high = (row.mean if end is None else end for end in (row.low, row.high))
            found[row.space] = Point(row.mean, low, high)
    return found


def across(reports: Sequence[Report]) -> go.Figure:
    """Lines: every space's test accuracy on each variant, against what studies of one dataset differ in."""
    label, values = varied(reports)
    variants = common_variants(reports)
    spaces = list(dict.fromkeys(row.space for report in reports for row in report.rows))
    figure, places = panels(variants, shared_y=True)
    for variant, place in zip(variants, places, strict=True):
        found = [points(report, variant) for report in reports]
        for at, space in enumerate(spaces):
            mine = [(value, each[space]) for value, each in zip(values, found, strict=True) if space in each]
            mine = sorted(mine, key=lambda pair: pair[0]) if analysis.are_numbers([x for x, _ in mine]) else mine
            figure.add_scatter(
                x=[value for value, _ in mine],
                y=percents([point.value for _, point in mine]),
                error_y={
                    "array": percents([point.high - point.value for _, point in mine]),
                    "arrayminus": percents([point.value - point.low for _, point in mine]),
                    "symmetric": False,
                    "thickness": 1.2,
                    "width": 3,
                },
                mode="lines+markers",
                line={"color": color(at)},
                marker={"symbol": mark(at), "size": 8},
                name=space,
                legendgroup=space,
                showlegend=variant == variants[0],
                hovertext=[f"{label} {value}: {in_percent(point.value)} %" for value, point in mine],
                hovertemplate=f"<b>{space}</b> on {label_of(variant)}<br>%{{hovertext}}<extra></extra>",
                **place,
            )
        figure.update_xaxes(title_text=label, **place)
    figure.update_yaxes(title_text="test [%]", col=1)
    return figure
