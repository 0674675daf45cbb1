"""Selection of trials and checkpoints: pure functions of recorded metrics.

For each variant, a trial's best epoch and a space's best trial are those with the highest validation accuracy on that
variant; the earlier one wins a tie. With several objectives, trials are compared at the epoch that is best for the
first objective, so that all values of a trial belong to one checkpoint. Test metrics are reported but never compared,
except by functions called `oracle`.
"""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from bgbias.config import DATA, SEED
from bgbias.metrics import (
    TEST,
    VALIDATION,
    accuracy,
    at_best,
    at_front,
    best_epoch_of,
    gap,
    lower_is_better,
    on_test,
    variants_in,
)
from study.record.epoch import EpochReport, Metrics
from study.record.json_record import JsonRecord, json_record
from study.settings import Settings

Gaps = Mapping[str, tuple[str, str]]
"""A dataset's gaps: by name, two variants; the gap is the accuracy on the first minus that on the second."""

NEEDS_EVERY = "needs evaluation/test=every"
"""Text in place of a test value that was perhaps not measured, because the epoch was not kept."""
WORST_ACCURACY, WORST_LOSS = 0.0, sys.float_info.max
"""Values in place of a metric that is missing or not finite."""


@json_record
class TrialRecord(JsonRecord):
    """The record of a trial, without its epochs.

    number: from 1, in the order of the trials' start
    space: the search space's label; stage: `search` or `confirm`
    started, ended: times of the start and the end, in milliseconds since 1970
    origin: versions, user and machine at the start, as tags of MLflow
    """

    number: int
    space: str
    stage: str
    config: Settings
    finished: bool = False
    started: int | None = None
    ended: int | None = None
    origin: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A recorded trial: the fields of `TrialRecord`, and the reports of epochs 1, 2, ... in order."""

    trial_id: str
    number: int
    space: str
    stage: str
    config: Settings
    finished: bool
    epochs: Sequence[EpochReport]
    started: int | None = None
    ended: int | None = None
    origin: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def history(self) -> Sequence[Metrics]:
        """The metrics of epochs 1, 2, ... in order."""
        return [report.metrics for report in self.epochs]

    @property
    def name(self) -> str:
        """`<space>-<number>`, such as `erm-0001`: the name of its run in MLflow."""
        return f"{self.space}-{self.number:04d}"


@dataclass(frozen=True)
class Row:
    """One method's validation-selected result on one variant; accuracies in [0, 1].

    oracle_test_accuracy: the highest of any epoch of any trial; None if some epochs were not evaluated on test data
        (`NEEDS_EVERY`)
    """

    space: str
    method: str
    variant: str
    trial: str
    epoch: int
    val_accuracy: float
    test_accuracy: float
    oracle_test_accuracy: float | None
    config: Settings


@dataclass(frozen=True)
class Candidate:
    """A trial on its space's Pareto front of the objectives, at the epoch that is best for the first objective.

    name: of its run in MLflow
    values: of each objective, on validation data; test_values: of the same metrics on test data, where there are any
    leads: True if it is also on the common front of all spaces
    """

    name: str
    space: str
    method: str
    trial: str
    epoch: int
    values: Metrics
    test_values: Metrics
    leads: bool
    config: Settings


class Kept(NamedTuple):
    """A checkpoint to keep: a trial's epoch."""

    space: str
    trial: str
    epoch: int


def same_settings(one: Settings, other: Settings) -> bool:
    """Return True if two runs differ in nothing except the seed and the folder of the data."""
    return {**one, SEED: None, DATA: None} == {**other, SEED: None, DATA: None}


def value_of(metrics: Metrics, metric: str) -> float:
    """A metric's value; the worst possible value if the metric is missing or not finite."""
    value = metrics.get(metric, math.nan)
    if math.isfinite(value):
        return value
    return WORST_LOSS if lower_is_better(metric) else WORST_ACCURACY


def score(metrics: Metrics, metric: str) -> float:
    """A metric's score, the higher the better: its value, or minus its value for a loss or a gap."""
    value = value_of(metrics, metric)
    return -value if lower_is_better(metric) else value


def best_epoch(history: Sequence[Metrics], metric: str) -> int | None:
    """The epoch (from 1) at which a metric is best, or None if it was never measured."""
    measured = [epoch for epoch, metrics in enumerate(history, start=1) if metric in metrics]
    return max(measured, key=lambda epoch: (score(history[epoch - 1], metric), -epoch), default=None)


def best_metrics(history: Sequence[Metrics], metric: str) -> Metrics:
    """All metrics of the epoch at which one is best; empty if it was never measured."""
    epoch = best_epoch(history, metric)
    return history[epoch - 1] if epoch else {}


def best_value(history: Sequence[Metrics], metric: str) -> float:
    """A metric at its best epoch; the worst possible value if it was never measured."""
    return value_of(best_metrics(history, metric), metric)


def best_score(history: Sequence[Metrics], metric: str) -> float:
    """A metric's score at its best epoch; NaN if it was never measured."""
    metrics = best_metrics(history, metric)
    return score(metrics, metric) if metrics else math.nan


def values_of(history: Sequence[Metrics], objectives: Sequence[str]) -> list[float]:
    """Read every objective of a trial at the epoch that is best for the first one."""
    metrics = best_metrics(history, objectives[0])
    return [value_of(metrics, metric) for metric in objectives]


def best_epochs(history: Sequence[Metrics]) -> dict[str, int]:
    """Each variant's epoch with the highest validation accuracy."""
    found = {variant: best_epoch(history, accuracy(VALIDATION, variant)) for variant in variants_of(history)}
    return {variant: epoch for variant, epoch in found.items() if epoch is not None}


def chosen_epochs(history: Sequence[Metrics], objectives: Sequence[str]) -> set[int]:
    """The epochs that are best for some variant's validation accuracy or some objective."""
    best = (best_epoch(history, metric) for metric in objectives)
    return {*best_epochs(history).values(), *(epoch for epoch in best if epoch)}


def kept_epochs(history: Sequence[Metrics], objectives: Sequence[str]) -> set[int]:
    """The epochs that are best for some variant's accuracy or some objective, and the last."""
    return {*chosen_epochs(history, objectives), len(history)}


def summary(history: Sequence[Metrics], gaps: Gaps, objectives: Sequence[str] = ()) -> Metrics:
    """Summarise a trial at its best epochs.

    For each variant: validation and test accuracy at its best epoch, and the number of that epoch. For each gap: its
    value at the best epoch of the second variant. For each objective: its value at its own best epoch, and with several
    objectives its value at the epoch that is best for the first one.
    """
    found: Metrics = {}
    for variant, epoch in best_epochs(history).items():
        metrics = history[epoch - 1]
        for name in (accuracy(VALIDATION, variant), accuracy(TEST, variant)):
            found[at_best(name)] = metrics[name]
        found[best_epoch_of(variant)] = epoch
        mine = [name for name, (_, minus) in gaps.items() if minus == variant]
        names = [gap(split, name) for name in mine for split in (VALIDATION, TEST)]
        found |= {at_best(name): metrics[name] for name in names if name in metrics}
    for metric in objectives:
        found |= {at_best(name): value for name, value in _both(best_metrics(history, metric), metric).items()}
    if len(objectives) > 1:
        metrics = best_metrics(history, objectives[0])
        found |= {at_front(name): value for metric in objectives for name, value in _both(metrics, metric).items()}
    return found


def _both(metrics: Metrics, metric: str) -> Metrics:
    return {name: metrics[name] for name in (metric, on_test(metric)) if name in metrics}


def variants_of(history: Sequence[Metrics]) -> list[str]:
    """List the variants that a trial is evaluated on, read from the first epoch that was evaluated."""
    return next((variants for metrics in history if (variants := variants_in(metrics, VALIDATION))), [])


def variant_order(trials: Iterable[Trial]) -> list[str]:
    """List all variants that any trial was evaluated on, in the order of the trial with the most variants."""
    lists = sorted((variants_of(trial.history) for trial in trials), key=len, reverse=True)
    return list(dict.fromkeys(variant for variants in lists for variant in variants))


def winner(trials: Sequence[Trial], metric: str) -> tuple[Trial, int] | None:
    """The trial and the epoch at which a metric is best, or None if it was never measured."""
    measured = [(trial, epoch) for trial in trials if (epoch := best_epoch(trial.history, metric))]
    return max(
        measured, key=lambda found: (score(found[0].history[found[1] - 1], metric), -found[0].number), default=None
    )


def winning_row(trials: Sequence[Trial], variant: str) -> Row | None:
    """Describe the best of one space's trials on a variant; None if no trial was evaluated on it."""
    validation, test = accuracy(VALIDATION, variant), accuracy(TEST, variant)
    found = winner(trials, validation)
    if found is None:
        return None
    trial, epoch = found
    metrics = trial.history[epoch - 1]
    return Row(
        space=trial.space,
        method=trial.config["method/name"],
        variant=variant,
        trial=trial.trial_id,
        epoch=epoch,
        val_accuracy=metrics[validation],
        test_accuracy=metrics[test],
        oracle_test_accuracy=oracle(trials, variant),
        config=trial.config,
    )


def oracle(trials: Iterable[Trial], variant: str) -> float | None:
    """Find the highest test accuracy on a variant of any epoch of any trial, chosen on test data.

    None if some epoch was evaluated on validation data only, since it might have been the highest.
    """
    validation, test = accuracy(VALIDATION, variant), accuracy(TEST, variant)
    evaluated = [metrics for trial in trials for metrics in trial.history if validation in metrics]
    if not evaluated or not all(test in metrics for metrics in evaluated):
        return None
    return max(metrics[test] for metrics in evaluated)


def by_space(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """The trials of each space, spaces in the order they first appear."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(trial.space, []).append(trial)
    return found


def further_searches(trials: Sequence[Trial]) -> list[list[Trial]]:
    """The trials of each further search of the same spaces, under the spaces' own names, in order.

    Args:
        trials: of the stage `repeat`, whose spaces end in the number of their search, such as `erm.2`.
    """
    found: dict[int, list[Trial]] = {}
    for trial in trials:
        space, _, number = trial.space.rpartition(".")
        found.setdefault(int(number), []).append(replace(trial, space=space))
    return [found[number] for number in sorted(found)]


def each_ones_best(trials: Sequence[Trial]) -> list[Row]:
    """Describe every trial's own best epoch on every variant."""
    return [row for trial in trials for row in winners([trial])]


def winners(trials: Sequence[Trial]) -> list[Row]:
    """Find the winner of every space and variant by validation accuracy, spaces in the order they first appear."""
    variants = variant_order(trials)
    found = [winning_row(mine, variant) for mine in by_space(trials).values() for variant in variants]
    return [row for row in found if row is not None]


def undominated(points: Sequence[tuple[float, ...]]) -> list[int]:
    """Find the points that no other point equals or exceeds in every coordinate: their indices; of equals the first.

    Args:
        points: of any dimension; higher coordinates are better.
    """

    def beaten(at: int) -> bool:
        mine = points[at]
        return any(
            all(theirs >= own for theirs, own in zip(other, mine, strict=True)) and (other != mine or before < at)
            for before, other in enumerate(points)
            if before != at
        )

    return [at for at in range(len(points)) if not beaten(at)]


def front(trials: Sequence[Trial], objectives: Sequence[str]) -> list[Candidate]:
    """Find the Pareto front of every space's trials, the best on the first objective first.

    Each trial counts at the epoch that is best for its first objective. With one objective, a front is the space's
    winner only.
    """
    measured = [trial for trial in trials if set(objectives) <= best_metrics(trial.history, objectives[0]).keys()]
    leading = {trial.trial_id for trial in _undominated(measured, objectives)}
    return [
        _candidate(trial, objectives, trial.trial_id in leading)
        for mine in by_space(measured).values()
        for trial in _undominated(mine, objectives)
    ]


def _scores(trial: Trial, objectives: Sequence[str]) -> tuple[float, ...]:
    metrics = best_metrics(trial.history, objectives[0])
    return tuple(score(metrics, metric) for metric in objectives)


def _undominated(trials: Sequence[Trial], objectives: Sequence[str]) -> list[Trial]:
    by_first = sorted(trials, key=lambda trial: (-_scores(trial, objectives)[0], trial.number))
    return [by_first[at] for at in undominated([_scores(trial, objectives) for trial in by_first])]


def _candidate(trial: Trial, objectives: Sequence[str], leads: bool) -> Candidate:
    metrics = best_metrics(trial.history, objectives[0])
    epoch = best_epoch(trial.history, objectives[0]) or 0
    test = [name for name in map(on_test, objectives) if name in metrics]
    return Candidate(
        name=trial.name,
        space=trial.space,
        method=trial.config["method/name"],
        trial=trial.trial_id,
        epoch=epoch,
        values={metric: metrics[metric] for metric in objectives},
        test_values={name: metrics[name] for name in test},
        leads=leads,
        config=trial.config,
    )


def spread(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """Choose at most `count` candidates of one front that are far apart.

    The first candidate, and then repeatedly the one that is farthest from those already chosen. Every objective is
    scaled to [0, 1] on the front.
    """
    points = [[score(c.values, metric) for metric in c.values] for c in candidates]
    lows, highs = (list(map(bound, zip(*points, strict=True))) for bound in (min, max))
    places = [
        [(x - low) / (high - low) if high > low else 0.0 for x, low, high in zip(point, lows, highs, strict=True)]
        for point in points
    ]
    taken = [0] if candidates else []
    while len(taken) < min(count, len(candidates)):
        left = [at for at in range(len(candidates)) if at not in taken]
        taken.append(max(left, key=lambda at: min(math.dist(places[at], places[other]) for other in taken)))
    return [candidates[at] for at in taken]


def worth_keeping(trials: Sequence[Trial], objectives: Sequence[str]) -> set[Kept]:
    """List the checkpoints that a search keeps: of each space, the best per variant and objective, and the front."""
    best = [
        Kept(found[0].space, found[0].trial_id, found[1])
        for mine in by_space(trials).values()
        for metric in objectives
        if (found := winner(mine, metric))
    ]
    chosen: list[Row | Candidate] = [*winners(trials), *front(trials, objectives)]
    return {*best, *(Kept(found.space, found.trial, found.epoch) for found in chosen)}
