"""Tables of a report, computed. Nothing is drawn here."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from bgbias.checkpoint import MODEL
from bgbias.data.dataset import ORIGINAL
from bgbias.data.datasets import datasets
from bgbias.files import CHECKSUMS
from bgbias.metrics import TEST, VALIDATION, accuracy, gap, on_test
from bgbias.table import Table
from study.record.config import StudyConfig
from study.record.divergence import divergence
from study.record.folder import CONFIRM, SEARCH, StudyFolder
from study.record.objectives import is_plain, objectives_of, shifted_metric, shifted_variant
from study.record.selection import (
    NEEDS_EVERY,
    Candidate,
    Gaps,
    Row,
    Trial,
    best_epoch,
    best_metrics,
    by_space,
    front,
    same_settings,
    variant_order,
    winners,
)
from study.report.choosing import RuleRow, any_tables, remarks, rule_rows
from study.report.inspected import Inspected, inspected
from study.report.significance import student
from study.report.statistics import Comparison, QuantityTest, compare, quantity_tests
from study.settings import Settings

PLACE = "DIR"
"""The word for the folder of a study's data on another machine."""
OF_THE_MACHINE = ("study_id", "address", "storage", "tracking_uri", "data", "device")
"""Options of a study that say where it ran and not what it asked."""
MOST_CHOICES = 8
"""A searched setting with more different values is not listed value by value."""


@dataclass(frozen=True)
class SeedRow:
    """A space's winner on the search's objective, trained on fresh seeds, on one variant; accuracies in [0, 1].

    space: the space's label, or with several objectives the name of the trial on the front that was trained again

    Each seed's checkpoint is chosen on the variant's validation accuracy. `std` is the sample standard
    deviation; `low` and `high` bound the mean with 95 % confidence by Student's t; all three are None for a
    single seed.
    """

    space: str
    method: str
    variant: str
    seeds: list[int]
    test_accuracies: list[float]
    mean: float
    std: float | None
    low: float | None
    high: float | None
    config: Settings

    def repeats(self, config: Settings) -> bool:
        """Return True if these are seeds of that configuration."""
        return same_settings(config, self.config)


@dataclass(frozen=True)
class QuantityRow:
    """A test metric that is not a variant's accuracy at that variant's best epoch, of a space's winner on fresh seeds.

    For a gap of the dataset, each seed's checkpoint is chosen on validation accuracy on the variant that is subtracted;
    for an objective, on the first objective.
    """

    metric: str
    space: str
    method: str
    seeds: list[int]
    values: list[float]
    mean: float
    std: float | None


@dataclass(frozen=True)
class TuningRow:
    """The results of searches with other seeds of the search.

    Test accuracies in [0, 1] of each search's winner on a variant, chosen on validation data, and their mean and sample
    standard deviation.
    """

    space: str
    variant: str
    test_accuracies: list[float]
    mean: float
    std: float


@dataclass(frozen=True)
class Report:
    """All tables of a study.

    rows: the validation-selected winner of every space on every variant
    seed_rows: the winners on the search's objective on fresh seeds, where they were trained
    quantity_rows: their gaps, where the dataset declares any, and the objectives that are not a variant's accuracy
    objectives: the validation metrics that the search improved; front: every space's Pareto front of them
    comparisons: their paired tests against the baseline
    tuning_rows: the spread over searches, where they were made again
    rule_rows: what every selection rule would have reported; rule_remarks: what must be said beside it
    weights: by `<space> on <variant>`, the SHA-256 of the winner's weights
    inspected: the kept checkpoints that are best on the shifted variant, with what commands left beside them
    notes: what must be said of the study, such as what its source does not hold
    tagged: the study's name in MLflow, where the report has another
    links: pages of MLflow, by what they show
    confirmed: the winners' trials on fresh seeds
    """

    name: str
    config: StudyConfig
    variants: list[str]
    rows: list[Row]
    seed_rows: list[SeedRow]
    quantity_rows: list[QuantityRow]
    comparisons: list[Comparison]
    trials: list[Trial]
    objectives: tuple[str, ...]
    front: list[Candidate]
    tuning_rows: list[TuningRow] = field(default_factory=list)
    rule_rows: list[RuleRow] = field(default_factory=list)
    rule_remarks: list[str] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)
    inspected: list[Inspected] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tagged: str | None = None
    links: dict[str, str] = field(default_factory=dict)
    confirmed: list[Trial] = field(default_factory=list)

    @property
    def tag(self) -> str:
        """The study's name in MLflow."""
        return self.tagged or self.name

    @property
    def baseline(self) -> str:
        """The space that others are compared with: the one that was named, or the first if it is not in the study."""
        spaces = list(dict.fromkeys(row.space for row in self.rows))
        return self.config.baseline if self.config.baseline in spaces or not spaces else spaces[0]

    @property
    def quantity_tests(self) -> list[QuantityTest]:
        """The paired tests of gaps and objectives against the baseline, over fresh seeds."""
        values = {(r.metric, r.space): dict(zip(r.seeds, r.values, strict=True)) for r in self.quantity_rows}
        return quantity_tests(values, self.baseline)

    @property
    def shifted(self) -> str:
        """The variant with changed backgrounds that methods are compared on, by `shifted_variant`."""
        return shifted_variant(self.config.dataset, self.objectives)

    @property
    def pair(self) -> tuple[str, str]:
        """The metrics of a trade-off: the first two objectives, or accuracy on the shifted variant and `original`."""
        if len(self.objectives) > 1:
            return self.objectives[0], self.objectives[1]
        return shifted_metric(VALIDATION, self.shifted), accuracy(VALIDATION, ORIGINAL)

    @property
    def metrics(self) -> list[str]:
        """The validation metrics that trials are compared on: the accuracy on every variant, and the objectives."""
        return list(dict.fromkeys([*(accuracy(VALIDATION, variant) for variant in self.variants), *self.objectives]))

    def to_json(self) -> dict[str, Any]:
        """Return plain values by name.

        Study, experiment, config, rows, oracle, objectives, front, confirmed, rules, weights, tuning, quantities,
        comparisons, quantity_tests, tables, diverged.
        """
        options = TypeAdapter(StudyConfig).dump_python(self.config, mode="json")
        return {
            "study": self.name,
            "experiment": self.config.mlflow_experiment,
            "config": {name: value for name, value in options.items() if name not in OF_THE_MACHINE}
            | ({"data": PLACE} if self.config.data else {}),
            "rows": [asdict(row) for row in self.rows],
            "oracle": NEEDS_EVERY if any(row.oracle_test_accuracy is None for row in self.rows) else "complete",
            "objectives": list(self.objectives),
            "front": [asdict(member) for member in self.front],
            "confirmed": [asdict(row) for row in self.seed_rows],
            "rules": [asdict(row) for row in self.rule_rows],
            "weights": self.weights,
            "tuning": [asdict(row) for row in self.tuning_rows],
            "quantities": [asdict(row) for row in self.quantity_rows],
            "comparisons": [asdict(row) for row in self.comparisons],
            "quantity_tests": [asdict(row) for row in self.quantity_tests],
            "tables": {trial: {at: _plain(tables)} for trial, at, tables in self._shifted_tables()},
            "diverged": self.diverged(),
        }

    def _shifted_tables(self) -> Iterator[tuple[str, int, Mapping[str, Table]]]:
        """Yield for each winner on the shifted variant its trial, its epoch and that epoch's tables."""
        trials = {trial.trial_id: trial for trial in self.trials}
        for row in self.rows:
            if row.variant == self.shifted:
                yield row.trial, row.epoch, trials[row.trial].epochs[row.epoch - 1].tables

    def diverged(self) -> dict[str, str]:
        """The reason of each trial of the search that diverged, by its id."""
        return {trial.trial_id: why for trial in self.trials if (why := divergence(trial.history))}


def _plain(tables: Mapping[str, Table]) -> dict[str, Any]:
    return {name: table.to_json() for name, table in tables.items()}


def make_report(folder: StudyFolder) -> Report:
    """Compute a study's tables.

    Raises:
        SettingError: there is no study in the folder.
    """
    config = folder.read_config()
    confirmed = folder.finished(CONFIRM, tables=False)
    trials = with_tables(folder, folder.finished(SEARCH, tables=False))
    found = report_of(folder.name, config, trials, confirmed, folder.searched_again())
    return replace(
        found,
        weights=weights(folder, found.rows),
        comparisons=compare(folder, confirmed, config.baseline, config.family),
        inspected=inspected(folder, found.rows, confirmed, found.shifted),
    )


def report_of(
    name: str,
    config: StudyConfig,
    trials: Sequence[Trial],
    confirmed: Sequence[Trial],
    again: Sequence[Sequence[Trial]] = (),
    notes: Sequence[str] = (),
) -> Report:
    """Compute the tables that need the trials' records alone, and neither their predictions nor their checkpoints.

    Args:
        trials: of the search; confirmed: on fresh seeds; again: of further searches.
        notes: what must be said of the study.
    """
    variants, objectives = variant_order(trials), objectives_of(config)
    rules = rule_rows(config, trials, confirmed)
    return Report(
        name=name,
        config=config,
        variants=variants,
        rows=winners(trials),
        rule_rows=rules,
        rule_remarks=remarks(rules, trials, any_tables(trials[0]) if trials else None),
        seed_rows=seed_rows(confirmed, variants),
        quantity_rows=quantity_rows(confirmed, datasets.find(config.dataset).gaps, objectives),
        comparisons=[],
        trials=list(trials),
        objectives=objectives,
        front=front(trials, objectives),
        tuning_rows=tuning_rows([trials, *again]),
        notes=list(notes),
        confirmed=list(confirmed),
    )


def with_tables(folder: StudyFolder, trials: Sequence[Trial]) -> list[Trial]:
    """The trials, those that win a variant and the first with their epochs' tables, which take most of the memory."""
    shown = {row.trial for row in winners(trials)} | {trial.trial_id for trial in trials[:1]}
    return [folder.trial(trial.trial_id) if trial.trial_id in shown else trial for trial in trials]


def weights(folder: StudyFolder, rows: Sequence[Row]) -> dict[str, str]:
    """By `<space> on <variant>` the SHA-256 of the winner's weights, as it was written beside them."""
    found = {}
    for row in rows:
        sums = folder.checkpoint(row) / CHECKSUMS
        if sums.exists():
            found[f"{row.space} on {row.variant}"] = json.loads(sums.read_text()).get(MODEL, "")
    return found


def tuning_rows(searches: Sequence[Sequence[Trial]]) -> list[TuningRow]:
    """Mean and spread over searches of each space's winner on each variant; none for what was searched once."""
    found: dict[tuple[str, str], list[float]] = {}
    for trials in searches:
        for row in winners(trials):
            found.setdefault((row.space, row.variant), []).append(row.test_accuracy)
    return [
        TuningRow(space, variant, values, float(np.mean(values)), float(np.std(values, ddof=1)))
        for (space, variant), values in found.items()
        if len(values) > 1
    ]


def seed_rows(trials: Sequence[Trial], variants: Sequence[str]) -> list[SeedRow]:
    """Mean and spread over seeds of each space on each variant it was evaluated on."""
    rows = (_seed_row(space, variant, mine) for space, mine in _by_seed(trials).items() for variant in variants)
    return [row for row in rows if row is not None]


def _by_seed(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """The trials of each space, by seed."""
    return {space: sorted(mine, key=lambda trial: trial.config["seed"]) for space, mine in by_space(trials).items()}


def quantity_rows(trials: Sequence[Trial], gaps: Gaps, objectives: Sequence[str]) -> list[QuantityRow]:
    """Mean and spread over seeds of each space's gaps and objectives."""
    chosen_on = {gap(TEST, name): accuracy(VALIDATION, minus) for name, (_, minus) in gaps.items()}
    if not is_plain(objectives):
        chosen_on |= {on_test(metric): objectives[0] for metric in objectives}
    each = _by_seed(trials).values()
    rows = (_quantity_row(name, selected_on, mine) for name, selected_on in chosen_on.items() for mine in each)
    return [row for row in rows if row is not None]


def _quantity_row(name: str, selected_on: str, trials: Sequence[Trial]) -> QuantityRow | None:
    chosen = {trial.config["seed"]: best_metrics(trial.history, selected_on) for trial in trials}
    found = {seed: metrics[name] for seed, metrics in chosen.items() if name in metrics}
    if not found:
        return None
    values, method = list(found.values()), trials[0].config["method/name"]
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return QuantityRow(name, trials[0].space, method, list(found), values, float(np.mean(values)), std)


def _seed_row(space: str, variant: str, trials: Sequence[Trial]) -> SeedRow | None:
    evaluated = [
        (trial, epoch) for trial in trials if (epoch := best_epoch(trial.history, accuracy(VALIDATION, variant)))
    ]
    if not evaluated:
        return None
    tests = [trial.history[epoch - 1][accuracy(TEST, variant)] for trial, epoch in evaluated]
    std = float(np.std(tests, ddof=1)) if len(tests) > 1 else None
    interval = student(tests)
    first = evaluated[0][0].config
    return SeedRow(
        space=space,
        method=first["method/name"],
        variant=variant,
        seeds=[trial.config["seed"] for trial, _ in evaluated],
        test_accuracies=tests,
        mean=float(np.mean(tests)),
        std=std,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        config={key: value for key, value in first.items() if key != "seed"},
    )


def searched_values(trials: Sequence[Trial]) -> list[str]:
    """The settings that differ between trials of a space, sorted; not those that an older version's trials lack."""
    names = {name for trial in trials for name in trial.config if all(name in other.config for other in trials)}
    return sorted(name for name in names if len({str(trial.config[name]) for trial in trials}) > 1)


def by_choice(trials: Sequence[Trial]) -> dict[tuple[str, str], list[Trial]]:
    """The trials with each value of each searched setting, values in the order of their size or name.

    A setting with more than `MOST_CHOICES` values, or whose values all differ, is left out.
    """
    found: dict[tuple[str, str], list[Trial]] = {}
    for name in searched_values(trials):
        values = {str(trial.config[name]): trial.config[name] for trial in trials}
        numbers = all(isinstance(value, int | float) for value in values.values())
        if len(values) <= min(MOST_CHOICES, len(trials) - 1):
            for shown in sorted(values, key=values.__getitem__ if numbers else str):
                found[name, shown] = [trial for trial in trials if str(trial.config[name]) == shown]
    return found


def spans_decades(values: Sequence[Any]) -> bool:
    """Return True if values are positive and span more than a factor of 10, so that a logarithmic axis suits them."""
    positive = all(isinstance(value, int | float) and value > 0 for value in values)
    return positive and max(values) > 10 * min(values)
