"""Figures of the effects of one space's searched settings. Each is None if there is nothing to show."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from bgbias.metrics import VALIDATION, is_share, label_of
from study.record.objectives import shifted_metric
from study.record.selection import best_epoch, best_value
from study.report import analysis
from study.report.drawing import (
    color,
    finished,
    mark,
    panels,
    percents,
    scaled,
    settings_text,
    trials_of,
    with_unit,
)
from study.report.tables import Report, searched_values, spans_decades
from study.settings import short

LONGEST = 12
"""Letters of a category's name at most."""
FEW = 8
"""Up to this many different whole numbers get a tick each on an axis."""


def parallel_coordinates(report: Report, space: str) -> go.Figure | None:
    """Lines: one a trial, through its searched settings and the validation metrics that all trials have.

    They are coloured by the accuracy on the shifted variant.
    """
    trials = trials_of(report, space)
    names = searched_values(trials)
    metrics = [metric for metric in report.metrics if all(best_epoch(t.history, metric) for t in trials)]
    if not names or not metrics:
        return None
    shifted = shifted_metric(VALIDATION, report.shifted)
    colored = shifted if shifted in metrics else metrics[0]
    found = {metric: scaled(metric, [best_value(t.history, metric) for t in trials]) for metric in metrics}
    lines = go.Parcoords(
        dimensions=[
            *(axis(short(name), [trial.config.get(name) for trial in trials]) for name in names),
            *({"label": with_unit(metric), "values": values} for metric, values in found.items()),
        ],
        line={"color": found[colored], "colorscale": "Viridis", "showscale": True, "colorbar": _bar(colored)},
        labelangle=-20,
    )
    figure = finished(go.Figure(lines), height=430)
    return figure.update_layout(margin={"l": 75, "r": 60, "t": 85, "b": 30})


def _bar(metric: str) -> dict[str, Any]:
    return {"title": {"text": f"validation on {with_unit(metric)}", "side": "right"}, "thickness": 12}


def axis(label: str, values: Sequence[Any]) -> dict[str, Any]:
    """An axis of parallel coordinates: names at whole numbers, and what spans decades by its logarithm."""
    if not analysis.are_numbers(values):
        names = sorted({str(value) for value in values})
        places = [names.index(str(value)) for value in values]
        return {
            "label": label,
            "values": places,
            "tickvals": list(range(len(names))),
            "ticktext": [shortened(n) for n in names],
        }
    if spans_decades(values):
        logs = [math.log10(value) for value in values]
        ends, room = (min(logs), max(logs)), (max(logs) - min(logs)) / 10
        inside = [t for t in range(math.ceil(ends[0]), math.floor(ends[1]) + 1) if ends[0] + room < t < ends[1] - room]
        ticks = [ends[0], *inside, ends[1]]
        return {"label": label, "values": logs, "tickvals": ticks, "ticktext": [f"{10.0**t:.3g}" for t in ticks]}
    found = {"label": label, "values": list(values)}
    whole = all(isinstance(value, int) for value in values) and len(set(values)) <= FEW
    return {**found, "tickvals": sorted(set(values))} if whole else found


def shortened(name: str) -> str:
    """A name that leaves room for its neighbours."""
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def importance(report: Report, space: str) -> go.Figure | None:
    """A map: which share of the variance of each validation metric each searched setting explains."""
    trials = trials_of(report, space)
    shares = {label_of(metric): analysis.importance(trials, metric) for metric in report.metrics}
    shares = {label: found for label, found in shares.items() if found}
    if not shares:
        return None
    names = sorted(searched_values(trials), key=lambda name: sum(found[name] for found in shares.values()))
    figure = go.Figure(
        go.Heatmap(
            x=list(shares),
            y=[short(name) for name in names],
            z=[percents([found[name] for found in shares.values()]) for name in names],
            texttemplate="%{z:.0f} %",
            colorscale="Blues",
            zmin=0,
            zmax=100,
            showscale=False,
            hovertemplate="%{y} explains %{z:.1f} % on %{x}<extra></extra>",
        )
    )
    figure.update_yaxes(automargin=True)
    figure.update_layout(template="plotly_white", height=80 + 36 * len(names), margin={"t": 15, "b": 45, "r": 25})
    return figure


def effects(report: Report, space: str) -> go.Figure | None:
    """Dots: the validation metrics that are shares, such as every variant's accuracy, against each searched setting."""
    trials = trials_of(report, space)
    names = searched_values(trials)
    if not names:
        return None
    figure, places = panels([short(name) for name in names], shared_y=True)
    for name, place in zip(names, places, strict=True):
        for at, metric in enumerate(filter(is_share, report.metrics)):
            evaluated = [trial for trial in trials if best_epoch(trial.history, metric)]
            texts = [f"trial {t.trial_id}, {len(t.history)} epochs<br>{settings_text(t.config)}" for t in evaluated]
            figure.add_scatter(
                x=[shown(trial.config.get(name)) for trial in evaluated],
                y=percents([best_value(trial.history, metric) for trial in evaluated]),
                mode="markers",
                marker={"color": color(at), "symbol": mark(at), "size": 8, "opacity": 0.8},
                name=label_of(metric),
                legendgroup=metric,
                showlegend=bool(evaluated) and name == names[0],
                hovertext=texts,
                hovertemplate=f"<b>{label_of(metric)}</b>: %{{y:.2f}} %<br>%{{hovertext}}<extra></extra>",
                **place,
            )
        figure.update_xaxes(_scale([trial.config.get(name) for trial in trials]), **place)
    figure.update_yaxes(title_text="validation [%]", col=1)
    return figure


def _scale(values: Sequence[Any]) -> dict[str, Any]:
    if not analysis.are_numbers(values):
        names = sorted({str(value) for value in values})
        return {"type": "category", "categoryarray": names, "range": [-0.6, len(names) - 0.4]}
    return {"type": "log", "dtick": 1, "tickformat": "~g"} if spans_decades(values) else {}


def shown(value: Any) -> Any:
    """A setting's value on an axis: a number as it is, all else by its name."""
    return value if analysis.are_numbers([value]) else str(value)
