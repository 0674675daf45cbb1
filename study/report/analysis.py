"""What the figures show, computed from recorded trials. Nothing is drawn here."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from bgbias.data.dataset import ORIGINAL
from bgbias.data.datasets import datasets
from bgbias.metrics import TEST, VALIDATION, accuracies_at, accuracy, chosen, train_loss
from bgbias.table import Table
from study.record.config import StudyConfig
from study.record.epoch import EpochReport, Metrics
from study.record.selection import Row, Trial, best_epoch, highest_accuracy
from study.report.tables import Report, SeedRow, searched_values, spans_decades

FEWEST_TRIALS = 4
"""Below so many trials no importance is told."""
SEED = 0


@dataclass(frozen=True)
class Ranked:
    """A space's place on one variant. `seeds` are its winner's fresh seeds, if that very configuration has any."""

    row: Row
    seeds: SeedRow | None

    @property
    def value(self) -> float:
        """What it is ranked by, in [0, 1]: the mean test accuracy of fresh seeds, or without them the winner's own."""
        return self.row.test_accuracy if self.seeds is None else self.seeds.mean


@dataclass(frozen=True)
class Trade:
    """A trial at its epoch with the highest validation accuracy on the shifted variant; accuracies in [0, 1]."""

    trial: Trial
    epoch: int
    original: float
    shifted: float
    test_original: float
    test_shifted: float


def shifted_variant(config: StudyConfig) -> str:
    """The variant that is set against `original`: the study's objective, or the dataset's own."""
    asked = config.objective if config.objective != ORIGINAL else None
    return asked or datasets.find(config.dataset).objective


def ranking(report: Report, variant: str) -> list[Ranked]:
    """Every space that was judged on a variant, the best first; the one that was named earlier wins a tie."""
    found = [Ranked(row, _own_seeds(report, row)) for row in report.rows if row.variant == variant]
    return sorted(found, key=lambda ranked: -ranked.value)


def _own_seeds(report: Report, row: Row) -> SeedRow | None:
    fitting = (s for s in report.seed_rows if (s.space, s.variant) == (row.space, row.variant))
    return next((seeds for seeds in fitting if seeds.repeats(row.config)), None)


def trades(trials: Sequence[Trial], shifted: str) -> list[Trade]:
    """What each trial that was judged on both variants gives up on one for the other."""
    found = []
    for trial in trials:
        epoch = best_epoch(trial.history, shifted)
        metrics = trial.history[epoch - 1] if epoch else {}
        if epoch and accuracy(VALIDATION, ORIGINAL) in metrics:
            values = (metrics[accuracy(s, v)] for s in (VALIDATION, TEST) for v in (ORIGINAL, shifted))
            found.append(Trade(trial, epoch, *values))
    return found


def front(points: Sequence[Trade]) -> list[Trade]:
    """The Pareto front on validation data, by falling accuracy on `original`: no other trial is at least as good on
    both variants. Of equal ones the first is kept."""
    kept: list[Trade] = []
    for point in sorted(points, key=lambda point: (-point.original, -point.shifted)):
        if not kept or point.shifted > kept[-1].shifted:
            kept.append(point)
    return kept


def importance(trials: Sequence[Trial], variant: str) -> dict[str, float]:
    """The share of the variance of validation accuracy on a variant that each searched setting explains alone, largest
    first; empty where that cannot be told: fewer than `FEWEST_TRIALS` trials, nothing searched, or all alike.

    Shares are fractions of what all settings explain, so they add up to 1. A trial that was stopped early counts with
    what it reached. Source: F. Hutter et al., "An Efficient Approach for Assessing Hyperparameter Importance", 2014.
    """
    judged = [trial for trial in trials if best_epoch(trial.history, variant)]
    study = rebuilt(judged, variant)
    values = {trial.value for trial in study.trials}
    if len(judged) < FEWEST_TRIALS or len(values) < 2 or not study.trials[0].params:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=SEED)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def rebuilt(trials: Sequence[Trial], variant: str) -> optuna.Study:
    """Recorded trials as an Optuna study in memory: their searched settings, and the highest validation accuracy."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    distributions = {name: domain([t.config.get(name) for t in trials]) for name in searched_values(trials)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's remark on choices such as None
        for trial in trials:
            params = {name: trial.config.get(name) for name in distributions}
            value = highest_accuracy(trial.history, variant)
            study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    return study


def domain(values: Sequence[Any]) -> BaseDistribution:
    """The smallest Optuna distribution that holds all values, logarithmic where they span decades."""
    if not are_numbers(values):
        return CategoricalDistribution(sorted(set(values), key=str))
    kind = IntDistribution if all(isinstance(value, int) for value in values) else FloatDistribution
    return kind(min(values), max(values), log=spans_decades(values))


def are_numbers(values: Sequence[Any]) -> bool:
    """Whether all values are numbers, which truth values are not."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def winners_on(report: Report, variant: str) -> list[Trial]:
    """The trial of each space that won a variant, or where no space was judged on it, the first variant."""
    variants = {row.variant for row in report.rows}
    asked = variant if variant in variants else report.variants[0]
    winning = [row.trial for row in report.rows if row.variant == asked]
    return [trial for trial in report.trials if trial.trial_id in winning]


def loss_terms(trial: Trial) -> list[str]:
    """The names of all terms of a trial's training loss."""
    return [name for name in (trial.history[-1] if trial.history else {}) if name.startswith(train_loss(""))]


def curve(trial: Trial, split: str, variant: str) -> list[tuple[int, float]]:
    """(epoch, accuracy in percent) of every epoch that was judged."""
    name = accuracy(split, variant)
    return [(epoch, 100 * m[name]) for epoch, m in enumerate(trial.history, start=1) if name in m]


def votes(report: Report, row: Row) -> dict[int, float]:
    """By number of samples, the test accuracy of a winner that lets samples vote; empty for other methods."""
    return accuracies_at(_metrics(report, row), TEST, row.variant)


def chosen_samples(report: Report, row: Row) -> float | None:
    """How many samples validation chose to let vote, at a winner's epoch; None for methods without samples."""
    return _metrics(report, row).get(chosen("samples"))


def tables(report: Report, row: Row) -> dict[str, Table]:
    """The tables that a winner reported at its epoch."""
    return _epoch(report, row).tables


def _metrics(report: Report, row: Row) -> Metrics:
    return _epoch(report, row).metrics


def _epoch(report: Report, row: Row) -> EpochReport:
    trial = next(trial for trial in report.trials if trial.trial_id == row.trial)
    return trial.epochs[row.epoch - 1]
