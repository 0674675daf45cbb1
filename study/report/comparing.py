"""Methods against each other: their ranking, their differences, and what they trade on one variant for another."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from bgbias.metrics import TEST, label_of, on_test
from study.display import counted, in_percent, measured, points, with_spread
from study.record.objectives import shifted_metric
from study.report import analysis, fairness
from study.report.analysis import Ranked, Trade
from study.report.drawing import (
    broken,
    color,
    finished,
    in_rows,
    mark,
    panels,
    percents,
    scaled,
    settings_text,
    spaces,
    winner_text,
    with_unit,
)
from study.report.layout import Grid
from study.report.significance import p_text
from study.report.statistics import Comparison, PairedTest
from study.report.tables import Report
from study.report.text import front_table

BAR, HEAD = 40, 40
"""Pixels for each bar with its gap, and for the space above the first and below the last bar together."""


def ranking(report: Report) -> go.Figure:
    """Bars: on every variant the methods from best to worst, with 95 % intervals where there are fresh seeds."""
    found = [analysis.ranking(report, variant) for variant in report.variants]
    bars = [max(map(len, row)) for row in in_rows(found)]
    figure, places = panels(report.variants, shared_y=False, heights=[HEAD + BAR * count for count in bars])
    for ranked, place in zip(found, places, strict=True):
        figure.add_trace(_bars(ranked, spaces(report)), **place)
        names, labels = [r.row.space for r in ranked], list(map(bar_label, ranked))
        lowest = bars[place["row"] - 1] - 0.5
        figure.update_yaxes(range=[lowest, -0.5], tickvals=names, ticktext=labels, automargin=True, **place)
    figure.update_xaxes(range=[0, 102], tickvals=[0, 25, 50, 75, 100])
    return figure


def _bars(ranked: Sequence[Ranked], colors: dict[str, str]) -> go.Bar:
    spreads = [100 * np.array(interval(r)) for r in ranked]
    return go.Bar(
        orientation="h",
        x=percents([r.value for r in ranked]),
        y=[r.row.space for r in ranked],
        width=0.75,
        marker_color=[colors[r.row.space] for r in ranked],
        error_x={
            "arrayminus": [below for below, _ in spreads],
            "array": [above for _, above in spreads],
            "symmetric": False,
            "visible": any(spread.any() for spread in spreads),
            "thickness": 1.2,
            "width": 3,
            "color": "#777",
        },
        hovertext=[winner_text(r.row) + _seeds_text(r) for r in ranked],
        hoverinfo="text",
        showlegend=False,
    )


def interval(ranked: Ranked) -> tuple[float, float]:
    """Distances from the mean to both ends of the 95 % interval over fresh seeds, cut to [0, 1]; 0 without one."""
    seeds = ranked.seeds
    if seeds is None or seeds.low is None or seeds.high is None:
        return 0.0, 0.0
    return seeds.mean - max(0.0, seeds.low), min(1.0, seeds.high) - seeds.mean


def ranked_text(ranked: Ranked) -> str:
    """A bar's value, such as `98.8 ± 0.1` for fresh seeds, with their standard deviation, or `98.8` for one run."""
    return with_spread(ranked.value, ranked.seeds.std if ranked.seeds else None, digits=1)


def bar_label(ranked: Ranked) -> str:
    """A bar's name and value on two lines; a combination's last part stands beside the value."""
    name = broken(ranked.row.space)
    return f"{name}{' ' if name != ranked.row.space else '<br>'}{ranked_text(ranked)}"


def _seeds_text(ranked: Ranked) -> str:
    if ranked.seeds is None:
        return ""
    each = ", ".join(map(in_percent, ranked.seeds.test_accuracies))
    return f"<br>test on seeds {', '.join(map(str, ranked.seeds.seeds))}: {each} %"


def differences(report: Report) -> go.Figure | None:
    """Draw by how many points each space's fresh seeds are above the baseline's on each variant, with intervals.

    A full circle is significant over seeds, a diamond over images only, an open circle is not. None without
    comparisons.
    """
    rows = report.comparisons
    if not rows:
        return None
    variants = list(dict.fromkeys(row.variant for row in rows))
    colors = {name: color(at) for at, name in enumerate(dict.fromkeys([*spaces(report), *(r.space for r in rows)]))}
    names = list(dict.fromkeys(row.space for row in rows))
    heights = [HEAD + BAR * len(names)] * len(in_rows(variants))
    figure, places = panels(variants, shared_y=False, heights=heights)
    for variant, place in zip(variants, places, strict=True):
        mine = [row for row in rows if row.variant == variant]
        figure.add_scatter(
            x=percents([row.difference for row in mine]),
            y=[row.space for row in mine],
            mode="markers",
            marker={
                "size": 10,
                "symbol": [_symbol(row) for row in mine],
                "color": [colors[row.space] for row in mine],
            },
            error_x={
                "array": percents([row.high - row.difference for row in mine]),
                "arrayminus": percents([row.difference - row.low for row in mine]),
                "symmetric": False,
                "color": "#555",
            },
            hovertext=[_difference_text(row) for row in mine],
            hoverinfo="text",
            showlegend=False,
            **place,
        )
    figure.add_vline(x=0, line={"color": "#555", "width": 1})
    labels = [broken(name) for name in names]
    figure.update_yaxes(autorange="reversed", tickvals=names, ticktext=labels, automargin=True)
    return figure


def _symbol(row: Comparison) -> str:
    return "circle" if row.by_seeds.significant else "diamond" if row.by_images.significant else "circle-open"


def _difference_text(row: Comparison) -> str:
    tests = {"seeds": row.by_seeds, "images, networks fixed": row.by_images}
    p = [f"p over {unit}: {p_text(test.p)}{_after(test)}" for unit, test in tests.items() if test.p is not None]
    return "<br>".join(
        [
            f"<b>{row.space}</b> - {row.baseline}: {points(row.difference)} points on {counted(row.seeds, 'seed')}",
            f"95 % over seeds and images: {points(row.low)} to {points(row.high)}",
            *p,
            f"rank-biserial effect over seeds {row.effect:+.2f}",
        ]
    )


def _after(test: PairedTest) -> str:
    return "" if test.holm is None else f", {p_text(test.holm)} after Holm"


def on_the_line(report: Report) -> go.Figure | None:
    """Dots: every trial's shifted test metric against its accuracy on `original`. None without any."""
    points = fairness.line(report)
    if not points:
        return None
    figure = go.Figure()
    for at, (space, own) in enumerate(spaces(report).items()):
        mine = [point for point in points if point.space == space]
        figure.add_scatter(
            x=percents([point.original for point in mine]),
            y=percents([point.shifted for point in mine]),
            mode="markers",
            marker={"color": own, "symbol": mark(at), "size": 9},
            name=space,
            hovertext=[f"<b>{point.space}</b>, trial {point.trial}" for point in mine],
            hovertemplate="%{hovertext}<br>original %{x:.2f} %, shifted %{y:.2f} %<extra></extra>",
        )
    r = fairness.correlation(points)
    if r is not None:
        figure.add_annotation(text=f"r = {r:.2f}", xref="paper", yref="paper", x=0, y=1, showarrow=False)
    figure.update_xaxes(title="original, test [%]")
    figure.update_yaxes(title=f"{label_of(shifted_metric(TEST, report.shifted))}, test [%]")
    return finished(figure, height=460)


def trade_off(report: Report) -> go.Figure:
    """Dots: every trial's pair of validation metrics, and the Pareto front of all."""
    x, y = report.pair
    points = analysis.trades(report.trials, report.pair)
    best = analysis.front(points, report.pair)
    figure = go.Figure()
    figure.add_scatter(
        x=scaled(x, [point.values[0] for point in best]),
        y=scaled(y, [point.values[1] for point in best]),
        mode="lines",
        line={"color": "#555", "width": 1.5, "dash": "dot"},
        name="Pareto front",
        hoverinfo="skip",
    )
    for at, (space, own) in enumerate(spaces(report).items()):
        mine = [point for point in points if point.trial.space == space]
        leads = [point in best for point in mine]
        figure.add_scatter(
            x=scaled(x, [point.values[0] for point in mine]),
            y=scaled(y, [point.values[1] for point in mine]),
            mode="markers",
            marker={
                "color": own,
                "symbol": mark(at),
                "size": [13 if lead else 9 for lead in leads],
                "line": {"width": [2 if lead else 0 for lead in leads], "color": "black"},
            },
            name=space,
            hovertext=[_trade_text(point, report.pair) for point in mine],
            hoverinfo="text",
        )
    figure.update_xaxes(title=f"validation on {with_unit(x)}")
    figure.update_yaxes(title=f"validation on {with_unit(y)}")
    return finished(figure, height=500)


def _trade_text(point: Trade, pair: tuple[str, str]) -> str:
    lines = [
        f"{label_of(metric)}: validation {measured(metric, value)}"
        + (f", test {measured(on_test(metric), test)}" if test is not None else "")
        for metric, value, test in zip(pair, point.values, point.tests, strict=True)
    ]
    head = f"<b>{point.trial.space}</b>, trial {point.trial.trial_id}, epoch {point.epoch}"
    return "<br>".join([head, *lines, settings_text(point.trial.config)])


def front_with_settings(report: Report) -> Grid:
    """Every space's Pareto front of the objectives, validation and test, with its settings."""
    grid = front_table(report)
    rows = zip(grid.rows.items(), report.front, strict=True)
    shown = {name: [*cells, settings_text(member.config).replace("<br>", ", ")] for (name, cells), member in rows}
    return replace(grid, columns=[*grid.columns, "settings"], rows=shown)
