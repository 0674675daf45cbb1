"""Figures of a report's tables. Nothing is computed here."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bgbias.metrics import VALIDATION, accuracy
from study.record.selection import Trial, best_epoch, highest_accuracy
from study.report.statistics import SIGNIFICANT
from study.report.tables import Report, searched_values, spans_decades

matplotlib.use("Agg")

DPI = 150
COMPARISON, CURVES, SETTINGS, DIFFERENCES = "comparison.png", "curves.png", "settings.png", "differences.png"


def draw(report: Report, folder: Path) -> list[Path]:
    """Write every figure into `folder`, which is made where needed."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [
        (COMPARISON, comparison(report)),
        (CURVES, curves(report)),
        (SETTINGS, settings(report)),
    ]
    if report.comparisons:
        drawn.append((DIFFERENCES, differences(report)))
    paths = []
    for name, figure in drawn:
        figure.savefig(folder / name, dpi=DPI)
        paths.append(folder / name)
    return paths


def spaces(report: Report) -> list[str]:
    """The spaces of a report, in order, each of which keeps one colour."""
    return list(dict.fromkeys(row.space for row in report.rows))


def comparison(report: Report) -> Figure:
    """Bars: test accuracy of every method on every variant, checkpoints chosen on validation data. Where a
    bar's configuration was trained on fresh seeds, black marks show each seed."""
    names = spaces(report)
    figure = Figure(figsize=(1.6 + 1.7 * len(report.variants), 4.2), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(1, len(names))
    for at, space in enumerate(names):
        rows = [row for row in report.rows if row.space == space]
        places = [report.variants.index(row.variant) + (at - (len(names) - 1) / 2) * width for row in rows]
        bars = axes.bar(places, [100 * row.test_accuracy for row in rows], width * 0.92, label=space)
        axes.bar_label(bars, fmt="%.1f", fontsize=7, label_type="center", color="white")
        for row, place in zip(rows, places, strict=True):
            for found in report.seed_rows:
                if (found.space, found.variant) == (space, row.variant) and found.repeats(row.config):
                    values = [100 * value for value in found.test_accuracies]
                    axes.plot([place] * len(values), values, "k_", markersize=8)
    axes.set_xticks(range(len(report.variants)), report.variants)
    axes.set_xlim(-0.6, len(report.variants) - 0.4)
    axes.set_ylim(0, 108)
    axes.set_ylabel("test accuracy [%]")
    axes.set_title(f"{report.config.dataset}: test accuracy of validation-selected checkpoints")
    figure.legend(loc="outside lower center", ncols=min(4, len(names)), frameon=False)
    return figure


def differences(report: Report) -> Figure:
    """Intervals: by how many points each space's fresh seeds are above the baseline's on each variant. Full marks are
    significant after Holm's correction."""
    variants = list(dict.fromkeys(row.variant for row in report.comparisons))
    compared = [space for space in spaces(report) if any(row.space == space for row in report.comparisons)]
    figure = Figure(figsize=(7.5, 1.4 + 0.16 * len(variants) * (len(compared) + 1)), layout="constrained")
    axes = figure.subplots()
    step = 1 / (len(compared) + 1)
    for at, space in enumerate(compared):
        rows = [row for row in report.comparisons if row.space == space]
        places = [variants.index(row.variant) + (at - (len(compared) - 1) / 2) * step for row in rows]
        color = f"C{spaces(report).index(space)}"
        axes.hlines(
            places, [100 * row.low for row in rows], [100 * row.high for row in rows], color=color, linewidth=1.8
        )
        filled = [color if row.holm < SIGNIFICANT else "white" for row in rows]
        values = [100 * row.difference for row in rows]
        axes.scatter(values, places, s=34, color=filled, edgecolors=color, linewidths=1.5, zorder=3)
        axes.plot([], [], "o-", color=color, label=space)
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.set_yticks(range(len(variants)), variants)
    axes.set_ylim(len(variants) - 0.5, -0.5)
    axes.set_xlabel(f"test accuracy, points above {report.comparisons[0].baseline}, 95 % interval over images")
    axes.set_title(f"{report.config.dataset} (full marks: p < {SIGNIFICANT} after Holm)", fontsize=10)
    figure.legend(loc="outside lower center", ncols=min(4, len(compared)), frameon=False)
    return figure


def curves(report: Report) -> Figure:
    """Lines: how each space's trials trained, one panel per variant; the winner is drawn strong."""
    figure = Figure(figsize=(1.2 + 3.4 * len(report.variants), 3.8), layout="constrained")
    panels = figure.subplots(1, len(report.variants), sharey=True, squeeze=False)[0]
    winning = {(row.space, row.variant): row.trial for row in report.rows}
    for variant, axes in zip(report.variants, panels, strict=True):
        for color, space in enumerate(spaces(report)):
            for trial in (t for t in report.trials if t.space == space):
                wins = winning.get((space, variant)) == trial.trial_id
                _curve(axes, trial, variant, color, wins, space)
        axes.set_title(variant)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel("validation accuracy [%]")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    return figure


def _curve(axes: Any, trial: Trial, variant: str, color: int, wins: bool, space: str) -> None:
    key = accuracy(VALIDATION, variant)
    points = [(epoch, 100 * m[key]) for epoch, m in enumerate(trial.history, start=1) if key in m]
    if points:
        style = {"linewidth": 2.0, "label": space} if wins else {"linewidth": 0.7, "alpha": 0.35}
        axes.plot(*zip(*points, strict=True), color=f"C{color}", marker="." if len(points) == 1 else None, **style)


def settings(report: Report) -> Figure:
    """Dots: each trial's validation accuracy against each searched setting, one row per space."""
    names = spaces(report)
    searched = {space: searched_values([t for t in report.trials if t.space == space]) for space in names}
    columns = max([1, *(len(found) for found in searched.values())])
    figure = Figure(figsize=(1.5 + 3 * columns, 0.6 + 2.4 * len(names)), layout="constrained")
    panels = figure.subplots(max(1, len(names)), columns, squeeze=False, sharey=True)
    for row, space in zip(panels, names, strict=False):
        trials = [t for t in report.trials if t.space == space]
        row[0].set_ylabel(f"{space}\nvalidation accuracy [%]", fontsize=8)
        for column, axes in enumerate(row):
            if column < len(searched[space]):
                _dots(axes, trials, searched[space][column], report.variants)
            else:
                axes.axis("off")
    legends = [axes.get_legend_handles_labels() for axes in panels.flat]
    handles, labels = max(legends, key=lambda legend: len(legend[1]))
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)), frameon=False)
    return figure


def _dots(axes: Any, trials: list[Trial], name: str, variants: list[str]) -> None:
    values = [trial.config[name] for trial in trials]
    for color, variant in enumerate(variants):
        judged = [(v, t.history) for v, t in zip(values, trials, strict=True) if best_epoch(t.history, variant)]
        dots = [(value, 100 * highest_accuracy(history, variant)) for value, history in judged]
        if dots:
            axes.scatter(*zip(*dots, strict=True), s=14, color=f"C{color}", alpha=0.8, label=variant)
    if any(isinstance(value, str) for value in values):
        axes.margins(x=0.4)
    elif spans_decades(values):
        axes.set_xscale("log")
    elif all(isinstance(value, int) for value in values):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(name, fontsize=8)
