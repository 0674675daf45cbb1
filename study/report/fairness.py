"""Checks that a comparison is fair and can show a difference. Computed, not drawn."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bgbias.data.dataset import ORIGINAL
from bgbias.metrics import BACKWARD_PASSES, FORWARD_PASSES, TEST, VALIDATION, accuracy, label_of
from study.display import percent
from study.record.objectives import shifted_metric
from study.record.selection import Trial, best_epoch, by_space
from study.report.tables import Report, searched_values

GOOD, BROKEN = 0.8, 0.15
"""Least accuracy of a useful baseline on `original`, and the least that it must lose on the shifted variant.

Source: the gate of bnnr-team/bnnr, 2026.
"""
ON_THE_LINE, FEWEST = 0.95, 5
"""Correlation from which shifted accuracy counts as following the other, and the fewest trials for that."""
EQUAL = 1.5
"""Spaces whose epochs, seconds or passes differ by more than this factor had unequal budgets."""


@dataclass(frozen=True)
class Budget:
    """The effort spent on one space.

    trials: finished ones; stopped: of these, before their last epoch; epochs: of all trials together
    seconds: from each trial's start to its end, added up; None where some were not recorded
    searched: hyper-parameters that differ between its trials
    forward, backward: passes of examples through the network, in the steps of all trials; None where some were not
        counted
    """

    space: str
    trials: int
    stopped: int
    epochs: int
    seconds: float | None
    searched: int
    forward: int | None = None
    backward: int | None = None

    @property
    def cost(self) -> int | None:
        """All passes in forward passes, of which a backward pass takes as long as two."""
        return None if self.forward is None or self.backward is None else self.forward + 2 * self.backward


def budgets(report: Report) -> list[Budget]:
    """Compute the effort spent on every space of the search."""
    found = []
    for space, trials in by_space(report.trials).items():
        lengths = [len(trial.history) for trial in trials]
        times = [(trial.ended - trial.started) / 1000 for trial in trials if trial.started and trial.ended]
        seconds = sum(times) if len(times) == len(trials) else None
        full = max(lengths, default=0)
        stopped = sum(length < full for length in lengths)
        passes = (_counted(trials, metric) for metric in (FORWARD_PASSES, BACKWARD_PASSES))
        found.append(Budget(space, len(trials), stopped, sum(lengths), seconds, len(searched_values(trials)), *passes))
    return found


def _counted(trials: Sequence[Trial], metric: str) -> int | None:
    values = [metrics.get(metric) for trial in trials for metrics in trial.history]
    known = [value for value in values if value is not None]
    return round(sum(known)) if known and len(known) == len(values) else None


def epoch_costs(found: Sequence[Budget], baseline: str) -> dict[str, float]:
    """By space, what one of its epochs costs in passes, as a multiple of the baseline's; empty where none counted."""
    costs = {row.space: row.cost / row.epochs for row in found if row.cost is not None and row.epochs}
    own = costs.get(baseline)
    return {space: cost / own for space, cost in costs.items()} if own else {}


def warnings(report: Report) -> list[str]:
    """List the reasons why a comparison is unfair or can show nothing.

    A baseline that is not broken, unequal budgets, or shifted accuracy that only follows the accuracy on `original`.
    """
    return [*_gate(report), *_unequal(budgets(report)), *_on_the_line(report)]


def _gate(report: Report) -> list[str]:
    rows = {row.variant: row for row in report.rows if row.space == report.baseline}
    row = rows.get(ORIGINAL)
    if row is None or report.shifted not in rows:
        return []
    metrics = next(trial for trial in report.trials if trial.trial_id == row.trial).history[row.epoch - 1]
    compared = shifted_metric(TEST, report.shifted)
    good, shifted = metrics[accuracy(TEST, ORIGINAL)], metrics.get(compared, math.nan)
    if good < GOOD:
        return [
            f"the baseline {row.space} reaches {percent(good)} on original, less than {percent(GOOD, 0)}: it is not "
            "trained well enough for a comparison to say anything"
        ]
    if good - shifted < BROKEN:
        return [
            f"the baseline {row.space} is not broken: it reaches {percent(good)} on original and {percent(shifted)} on "
            f"{label_of(compared)}, less than {100 * BROKEN:.0f} points below: there is little bias to mitigate"
        ]
    return []


def _unequal(found: list[Budget]) -> list[str]:
    lines = []
    for what, field in (("trials", "trials"), ("epochs", "epochs"), ("seconds", "seconds"), ("passes", "cost")):
        amounts = {row.space: getattr(row, field) for row in found if getattr(row, field)}
        if len(amounts) > 1 and max(amounts.values()) > EQUAL * min(amounts.values()):
            most, least = max(amounts, key=amounts.__getitem__), min(amounts, key=amounts.__getitem__)
            lines.append(f"unequal {what}: {most} had {amounts[most]:,.0f}, {least} {amounts[least]:,.0f}")
    return lines


@dataclass(frozen=True)
class Point:
    """A trial's test values at its epoch with the highest validation accuracy on `original`, in [0, 1].

    original: accuracy on `original`
    shifted: what `shifted_metric` names
    """

    space: str
    trial: str
    original: float
    shifted: float


def line(report: Report) -> list[Point]:
    """Every trial of the search that has both accuracies."""
    found = []
    for trial in report.trials:
        epoch = best_epoch(trial.history, accuracy(VALIDATION, ORIGINAL))
        metrics = trial.history[epoch - 1] if epoch else {}
        both = [metrics.get(accuracy(TEST, ORIGINAL)), metrics.get(shifted_metric(TEST, report.shifted))]
        if both[0] is not None and both[1] is not None:
            found.append(Point(trial.space, trial.trial_id, both[0], both[1]))
    return found


def correlation(points: list[Point]) -> float | None:
    """Pearson's correlation of the two accuracies over trials; None where it says nothing."""
    pairs = np.array([[point.original, point.shifted] for point in points])
    if len(points) < FEWEST or not np.ptp(pairs, axis=0).all():
        return None
    return float(np.corrcoef(pairs.T)[0, 1])


def _on_the_line(report: Report) -> list[str]:
    found = line(report)
    r = correlation(found)
    if r is None or r < ON_THE_LINE:
        return []
    name = label_of(shifted_metric(TEST, report.shifted))
    return [
        f"over {len(found)} trials {name} follows the accuracy on original (r = {r:.2f}): this comparison measures "
        "accuracy, not robustness"
    ]
