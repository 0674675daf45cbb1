"""What is selected on what. Pure functions of recorded metrics.

The rule everywhere: a variant's checkpoint is the epoch, and a method's checkpoint the trial, with the highest
validation accuracy on that variant; the one that started earlier wins a tie. Test accuracy is read off, never compared,
except where a name says `oracle`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from bgbias.metrics import TEST, VALIDATION, accuracy, at_best, best_epoch_of, gap, variants_in
from study.record.epoch import EpochReport, Metrics
from study.record.json_record import JsonRecord, json_record
from study.settings import Settings

Gaps = Mapping[str, tuple[str, str]]
"""A dataset's gaps: by name, the variant and the one whose accuracy is subtracted."""


@json_record
class TrialRecord(JsonRecord):
    """What is recorded of a trial beside its epochs.

    number: counts the study's trials in the order they started, from 1
    space: the search space's label; stage: `search` or `confirm`
    started, ended: when it began and finished, in milliseconds since 1970
    origin: the versions, the user and the machine it began with, as tags of MLflow
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
    """A recorded trial; the fields are those of `TrialRecord`, and the reports of epochs 1, 2, ... in order."""

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


@dataclass(frozen=True)
class Row:
    """One method's validation-selected result on one variant; accuracies in [0, 1]."""

    space: str
    method: str
    variant: str
    trial: str
    epoch: int
    val_accuracy: float
    test_accuracy: float
    oracle_test_accuracy: float
    config: Settings


def best_epoch(history: Sequence[Metrics], variant: str) -> int | None:
    """The epoch (from 1) with the highest validation accuracy on a variant, or None if it was never judged."""
    key = accuracy(VALIDATION, variant)
    judged = [epoch for epoch, metrics in enumerate(history, start=1) if key in metrics]
    return max(judged, key=lambda epoch: (history[epoch - 1][key], -epoch), default=None)


def highest_accuracy(history: Sequence[Metrics], variant: str) -> float:
    """The highest validation accuracy of any epoch on a variant, 0 if it was never judged."""
    return max((metrics.get(accuracy(VALIDATION, variant), 0.0) for metrics in history), default=0.0)


def best_epochs(history: Sequence[Metrics]) -> dict[str, int]:
    """Each variant's best epoch."""
    found = {variant: best_epoch(history, variant) for variant in variants_of(history)}
    return {variant: epoch for variant, epoch in found.items() if epoch is not None}


def summary(history: Sequence[Metrics], gaps: Gaps) -> Metrics:
    """What a trial is worth on each variant: validation and test accuracy at its best epoch, and which epoch that is.

    Also every gap, at the best epoch of the variant that is subtracted.
    """
    found: Metrics = {}
    for variant, epoch in best_epochs(history).items():
        metrics = history[epoch - 1]
        for name in (accuracy(VALIDATION, variant), accuracy(TEST, variant)):
            found[at_best(name)] = metrics[name]
        found[best_epoch_of(variant)] = epoch
        names = [
            gap(split, name) for name, (_, minus) in gaps.items() if minus == variant for split in (VALIDATION, TEST)
        ]
        found |= {at_best(name): metrics[name] for name in names if name in metrics}
    return found


def variants_of(history: Sequence[Metrics]) -> list[str]:
    """The variants that any epoch was judged on: those of the first that was judged."""
    return next((variants for metrics in history if (variants := variants_in(metrics, VALIDATION))), [])


def variant_order(trials: Iterable[Trial]) -> list[str]:
    """All variants that any trial was judged on, in the order they were first met, longest list first."""
    lists = sorted((variants_of(trial.history) for trial in trials), key=len, reverse=True)
    return list(dict.fromkeys(variant for variants in lists for variant in variants))


def winner(trials: Sequence[Trial], variant: str) -> Row | None:
    """The best of one space's trials on a variant, or None if no trial was judged on it."""
    judged = [(trial, epoch) for trial in trials if (epoch := best_epoch(trial.history, variant))]
    if not judged:
        return None
    validation, test = accuracy(VALIDATION, variant), accuracy(TEST, variant)
    trial, epoch = max(judged, key=lambda found: (found[0].history[found[1] - 1][validation], -found[0].number))
    metrics = trial.history[epoch - 1]
    return Row(
        space=trial.space,
        method=trial.config["method/name"],
        variant=variant,
        trial=trial.trial_id,
        epoch=epoch,
        val_accuracy=metrics[validation],
        test_accuracy=metrics[test],
        oracle_test_accuracy=max(m[test] for t, _ in judged for m in t.history if test in m),
        config=trial.config,
    )


def each_ones_best(trials: Sequence[Trial]) -> list[Row]:
    """Every trial's own best epoch on every variant it was judged on."""
    return [row for trial in trials for row in winners([trial])]


def winners(trials: Sequence[Trial]) -> list[Row]:
    """For every space and variant the validation-selected winner, spaces in the order they first appear."""
    spaces = dict.fromkeys(trial.space for trial in trials)
    found = [
        winner([trial for trial in trials if trial.space == space], variant)
        for space in spaces
        for variant in variant_order(trials)
    ]
    return [row for row in found if row is not None]
