"""What the searched settings of one space do. Each figure is None where it has nothing to show."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from study.display import percent
from study.record.selection import Trial, best_epoch, highest_accuracy
from study.report import analysis
from study.report.drawing import (
    color,
    finished,
    mark,
    panels,
    percents,
    settings_text,
    short,
    trials_of,
)
from study.report.tables import Report, searched_values, spans_decades

LONGEST = 12
"""Letters of a category's name at most."""
FEW = 8
"""So many different whole numbers at most are told one by one on an axis."""


def parallel_coordinates(report: Report, space: str) -> go.Figure | None:
    """Lines: one a trial, through its searched settings and its validation accuracy on every variant that all trials
    were judged on, coloured by that on the shifted one."""
    trials = trials_of(report, space)
    names = searched_values(trials)
    variants = [v for v in report.variants if all(best_epoch(t.history, v) for t in trials)]
    if not names or not variants:
        return None
    shifted = analysis.shifted_variant(report.config)
    colored = shifted if shifted in variants else variants[0]
    accuracies = {v: percents([highest_accuracy(t.history, v) for t in trials]) for v in variants}
    lines = go.Parcoords(
        dimensions=[
            *(axis(short(name), [trial.config.get(name) for trial in trials]) for name in names),
            *({"label": f"{variant} [%]", "values": values} for variant, values in accuracies.items()),
        ],
        line={"color": accuracies[colored], "colorscale": "Viridis", "showscale": True, "colorbar": _bar(colored)},
        labelangle=-20,
    )
    figure = finished(go.Figure(lines), height=430)
    return figure.update_layout(margin={"l": 75, "r": 60, "t": 85, "b": 30})


def _bar(variant: str) -> dict[str, Any]:
    return {"title": {"text": f"validation on {variant} [%]", "side": "right"}, "thickness": 12}


def axis(label: str, values: Sequence[Any]) -> dict[str, Any]:
    """An axis of parallel coordinates: names at whole numbers, and what spans decades by its logarithm."""
    if not analysis.are_numbers(values):
        names = sorted({str(value) for value in values})
        places = [names.index(str(value)) for value in values]
        return {
            "label": label,
            "values": places,
            "tickvals": list(range(len(names))),
            "ticktext": [cut(n) for n in names],
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


def cut(name: str) -> str:
    """A name that leaves room for its neighbours."""
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def importance(report: Report, space: str) -> go.Figure | None:
    """A map: which share of the variance of validation accuracy on each variant each searched setting explains."""
    trials = trials_of(report, space)
    shares = {variant: analysis.importance(trials, variant) for variant in report.variants}
    shares = {variant: found for variant, found in shares.items() if found}
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
    """Dots: validation accuracy on every variant against each searched setting."""
    trials = trials_of(report, space)
    names = searched_values(trials)
    if not names:
        return None
    figure, places = panels([short(name) for name in names], shared_y=True)
    for name, place in zip(names, places, strict=True):
        for at, variant in enumerate(report.variants):
            judged = [trial for trial in trials if best_epoch(trial.history, variant)]
            figure.add_scatter(
                x=[shown(trial.config.get(name)) for trial in judged],
                y=percents([highest_accuracy(trial.history, variant) for trial in judged]),
                mode="markers",
                marker={"color": color(at), "symbol": mark(at), "size": 8, "opacity": 0.8},
                name=variant,
                legendgroup=variant,
                showlegend=bool(judged) and name == names[0],
                hovertext=[_effect_text(trial, variant) for trial in judged],
                hoverinfo="text",
                **place,
            )
        figure.update_xaxes(_scale([trial.config.get(name) for trial in trials]), **place)
    figure.update_yaxes(title_text="validation accuracy [%]", col=1)
    return figure


def _scale(values: Sequence[Any]) -> dict[str, Any]:
    if not analysis.are_numbers(values):
        names = sorted({str(value) for value in values})
        return {"type": "category", "categoryarray": names, "range": [-0.6, len(names) - 0.4]}
    return {"type": "log", "dtick": 1, "tickformat": "~g"} if spans_decades(values) else {}


def shown(value: Any) -> Any:
    """A setting's value on an axis: a number as it is, all else by its name."""
    return value if analysis.are_numbers([value]) else str(value)


def _effect_text(trial: Trial, variant: str) -> str:
    best = percent(highest_accuracy(trial.history, variant), 2)
    return (
        f"<b>{variant}</b>: {best}<br>trial {trial.trial_id}, {len(trial.history)} epochs"
        f"<br>{settings_text(trial.config)}"
    )
