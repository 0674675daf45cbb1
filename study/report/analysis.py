"""Values in the figures, computed from recorded trials. Nothing is drawn here."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from bgbias.metrics import CORRECT, COUNT, TEST, accuracies_at, accuracy, learned, on_test, train_loss, variant_metric
from bgbias.table import Table
from study.record.epoch import EpochReport, Metrics
from study.record.selection import Row, Trial, best_epoch, best_metrics, best_value, score, undominated
from study.report.tables import Report, SeedRow, searched_values, spans_decades

FEWEST_TRIALS = 4
"""With fewer trials no importance is computed."""
IMPORTANCE_SEED, TREES = 0, 16
"""Trees of the forest; Optuna's own 64 take four times as long."""


@dataclass(frozen=True)
class Ranked:
    """A space's place on one variant. `seeds` are its winner's fresh seeds, if that very configuration has any."""

    row: Row
    seeds: SeedRow | None

    @property
    def value(self) -> float:
        """The value to rank by, in [0, 1]: the mean test accuracy of fresh seeds, or without them the winner's own."""
        return self.row.test_accuracy if self.seeds is None else self.seeds.mean


@dataclass(frozen=True)
class Trade:
    """Two validation metrics of a trial, x and y, at its epoch that is best for x.

    values: the two; tests: the same on test data, None where a metric has none
    """

    trial: Trial
    epoch: int
    values: tuple[float, float]
    tests: tuple[float | None, float | None]


def ranking(report: Report, variant: str) -> list[Ranked]:
    """Every space that was evaluated on a variant, the best first; the one that was named earlier wins a tie."""
    found = [Ranked(row, _own_seeds(report, row)) for row in report.rows if row.variant == variant]
    return sorted(found, key=lambda ranked: -ranked.value)


def _own_seeds(report: Report, row: Row) -> SeedRow | None:
    return next((s for s in report.seed_rows if s.variant == row.variant and s.repeats(row.config)), None)


def trades(trials: Sequence[Trial], pair: tuple[str, str]) -> list[Trade]:
    """Compute the trade-off of each trial that has both metrics of a pair, at its best epoch by the first."""
    x, y = pair
    found = []
    for trial in trials:
        epoch, metrics = best_epoch(trial.history, x), best_metrics(trial.history, x)
        if epoch and all(math.isfinite(metrics.get(metric, math.nan)) for metric in pair):
            tests = metrics.get(on_test(x)), metrics.get(on_test(y))
            found.append(Trade(trial, epoch, (metrics[x], metrics[y]), tests))
    return found


def front(points: Sequence[Trade], pair: tuple[str, str]) -> list[Trade]:
    """Find the Pareto front on validation data, the best in y first.

    No other trial is at least as good in both metrics. Of equal ones the first is kept.
    """
    x, y = pair
    scores = [(score({x: point.values[0]}, x), score({y: point.values[1]}, y)) for point in points]
    return [points[at] for at in sorted(undominated(scores), key=lambda at: -scores[at][1])]


def importance(trials: Sequence[Trial], metric: str) -> dict[str, float]:
    """The share of the variance of a validation metric that each searched setting explains alone, largest first.

    Empty where it cannot be estimated: fewer than `FEWEST_TRIALS` trials, nothing searched, or all alike.

    Shares are fractions of what all settings explain, so they add up to 1. A trial that was stopped early counts with
    what it reached. Source: F. Hutter et al., "An Efficient Approach for Assessing Hyperparameter Importance", 2014.
    """
    evaluated = [trial for trial in trials if best_epoch(trial.history, metric)]
    study = rebuilt(evaluated, metric)
    values = {trial.value for trial in study.trials}
    if len(evaluated) < FEWEST_TRIALS or len(values) < 2 or not study.trials[0].params:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=IMPORTANCE_SEED)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def rebuilt(trials: Sequence[Trial], metric: str) -> optuna.Study:
    """Recorded trials as an Optuna study in memory: their searched settings, and a metric at its best epoch."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    distributions = {name: domain([t.config.get(name) for t in trials]) for name in searched_values(trials)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's remark on choices such as None
        for trial in trials:
            params = {name: trial.config.get(name) for name in distributions}
            value = best_value(trial.history, metric)
            study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    return study


def domain(values: Sequence[Any]) -> BaseDistribution:
    """The smallest Optuna distribution that holds all values, logarithmic where they span decades."""
    if not are_numbers(values):
        return CategoricalDistribution(sorted(set(values), key=str))
    kind = IntDistribution if all(isinstance(value, int) for value in values) else FloatDistribution
    return kind(min(values), max(values), log=spans_decades(values))


def are_numbers(values: Sequence[Any]) -> bool:
    """Return True if all values are numbers; True and False do not count as numbers."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def winners_on(report: Report, variant: str) -> list[Trial]:
    """The trial of each space that won a variant, or where no space was evaluated on it, the first variant."""
    variants = {row.variant for row in report.rows}
    asked = variant if variant in variants else report.variants[0]
    winning = [row.trial for row in report.rows if row.variant == asked]
    return [trial for trial in report.trials if trial.trial_id in winning]


def loss_terms(trial: Trial) -> list[str]:
    """The names of all terms of a trial's training loss."""
    return [name for name in (trial.history[-1] if trial.history else {}) if name.startswith(train_loss(""))]


def curve(trial: Trial, split: str, variant: str) -> list[tuple[int, float]]:
    """(epoch, accuracy in percent) of every epoch that was evaluated."""
    name = accuracy(split, variant)
    return [(epoch, 100 * m[name]) for epoch, m in enumerate(trial.history, start=1) if name in m]


def votes(report: Report, row: Row) -> dict[int, float]:
    """By number of samples, the test accuracy of a winner that lets samples vote; empty for other methods."""
    return accuracies_at(_metrics(report, row), TEST, row.variant)


def chosen_samples(report: Report, row: Row) -> float | None:
    """Number of votes that validation chose at a winner's epoch; None for methods without samples."""
    return _metrics(report, row).get(learned("samples"))


def tables(report: Report, row: Row) -> dict[str, Table]:
    """The tables that a winner reported at its epoch."""
    return _epoch(report, row).tables


def group_accuracies(report: Report) -> list[tuple[str, Table]]:
    """By space, of its winner on the shifted variant the test accuracy [%] of every (class, place) cell."""
    found = []
    for row in report.rows:
        names = (variant_metric(TEST, report.shifted, what) for what in (COUNT, CORRECT))
        count, correct = (tables(report, row).get(name) for name in names)
        if row.variant == report.shifted and count is not None and correct is not None:
            found.append((row.space, shares(count, correct)))
    return found


def shares(count: Table, correct: Table) -> Table:
    """Accuracies in percent of the cells that have images, without columns that have none; NaN where there is none."""
    kept = [at for at in range(len(count.columns)) if any(row[at] for row in count.values)]
    values = [
        [100 * right[at] / all_[at] if all_[at] else math.nan for at in kept]
        for all_, right in zip(count.values, correct.values, strict=True)
    ]
    return Table.of(values, count.rows, [count.columns[at] for at in kept])


def _metrics(report: Report, row: Row) -> Metrics:
    return _epoch(report, row).metrics


def _epoch(report: Report, row: Row) -> EpochReport:
    trial = next(trial for trial in report.trials if trial.trial_id == row.trial)
    return trial.epochs[row.epoch - 1]
