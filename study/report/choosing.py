"""Results of every selection rule on a study, and the cost of each. Computed, not drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from bgbias.data.dataset import ORIGINAL
from bgbias.data.datasets import datasets
from bgbias.errors import UnknownNameError
from bgbias.metrics import (
    COUNT,
    TEST,
    VALIDATION,
    WORST_GROUP_ACCURACY,
    accuracy,
    label_of,
    lower_is_better,
    variant_metric,
    variant_of,
    variants_in,
)
from bgbias.table import Table
from study.display import counted, points
from study.record.config import StudyConfig
from study.record.objectives import objectives_of, shifted_metric, shifted_variant
from study.record.rules import (
    MOVED,
    ORACLE,
    WORST_CLASS,
    WORST_GROUP,
    Choice,
    Rule,
    choose,
    choose_epoch,
    metric_on_test,
    rule_named,
    rules_of,
    shared_variants,
)
from study.record.selection import Trial, by_space

FEW_IMAGES = 50
"""With fewer images in a group its accuracy moves by more than 2 points with one image."""
EVERY_EPOCH = "with `--set evaluation/test=every` every evaluated epoch has it"


@dataclass(frozen=True)
class RuleRow:
    """The result of one rule on one space.

    needs: the knowledge about the data that the rule needs
    trial, epoch: its choice in the search; None if no epoch has the metrics that it reads
    values: each test metric of that epoch; None if it was not evaluated
    cost: how much worse each value is than the metric's own oracle, >= 0; None if one of the two is missing
    seeds: each test metric of every fresh seed, at the epoch that the rule chose for it
    """

    space: str
    rule: str
    needs: str
    trial: str | None
    epoch: int | None
    values: dict[str, float | None]
    cost: dict[str, float | None] = field(default_factory=dict)
    seeds: dict[str, list[float]] = field(default_factory=dict)


def default_metrics(config: StudyConfig, trials: Sequence[Trial]) -> list[str]:
    """List the test metrics that rules are compared on, as far as any trial has them.

    Accuracy and worst-group accuracy on the shifted variant, and accuracy on `original`.
    """
    shifted = shifted_variant(config.dataset, objectives_of(config))
    wanted = dict.fromkeys(
        (
            shifted_metric(TEST, shifted),
            variant_metric(TEST, shifted, WORST_GROUP_ACCURACY),
            accuracy(TEST, ORIGINAL),
        )
    )
    there = {name for trial in trials for metrics in trial.history for name in metrics}
    return [metric for metric in wanted if metric in there]


def rule_rows(
    config: StudyConfig,
    trials: Sequence[Trial],
    confirmed: Sequence[Trial] = (),
    names: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> list[RuleRow]:
    """Every rule on every space.

    Args:
        trials: of the search.
        confirmed: on fresh seeds.
        names: of rules; all that the record allows if empty.
        metrics: of test data, or variants for their accuracy; `default_metrics` if empty.

    Raises:
        SettingError, UnknownNameError: a name is no rule's, or no test metric that some epoch has.
    """
    shown = [metric_on_test(name) for name in metrics] or default_metrics(config, trials)
    variants = shared_variants(trials, datasets.find(config.dataset).objectless)
    objectives = objectives_of(config)
    if names:
        rules = [rule_named(name, variants, objectives) for name in names]
    else:
        rules = rules_of(variants, objectives, shown)
    oracles = {metric: rule_named(f"{ORACLE}{metric}", variants, objectives) for metric in shown}
    there = dict.fromkeys(name for trial in trials for found in trial.history for name in found if on_test_data(name))
    for metric in [*shown, *(metric for rule in rules if rule.oracle for metric in rule.metrics)]:
        if metric not in there:
            raise UnknownNameError("test metric", metric, there)
    seeds = by_space(confirmed)
    return [
        _row(space, rule, choose(mine, rule), shown, best, seeds.get(space, []))
        for space, mine in by_space(trials).items()
        for best in [{metric: _value(choose(mine, oracle), metric) for metric, oracle in oracles.items()}]
        for rule in rules
    ]


def on_test_data(metric: str) -> bool:
    """Return True if a metric is of test data."""
    return metric.startswith(f"{TEST}/")


def _row(
    space: str,
    rule: Rule,
    chosen: Choice | None,
    metrics: Sequence[str],
    best: dict[str, float | None],
    seeds: Sequence[Trial],
) -> RuleRow:
    values = {metric: _value(chosen, metric) for metric in metrics}
    each = [choose_epoch(trial, rule) for trial in seeds]
    found = {m: [value for choice in each if (value := _value(choice, m)) is not None] for m in metrics}
    return RuleRow(
        space=space,
        rule=rule.name,
        needs=rule.needs,
        trial=chosen.trial.trial_id if chosen else None,
        epoch=chosen.epoch if chosen else None,
        values=values,
        cost={metric: _cost(metric, best[metric], value) for metric, value in values.items()},
        seeds={metric: one for metric, one in found.items() if one},
    )


def _value(chosen: Choice | None, metric: str) -> float | None:
    return chosen.metrics.get(metric) if chosen else None


def _cost(metric: str, oracle: float | None, value: float | None) -> float | None:
    if oracle is None or value is None:
        return None
    return value - oracle if lower_is_better(metric) else oracle - value


def remarks(rows: Sequence[RuleRow], trials: Sequence[Trial], tables: Mapping[str, Table] | None = None) -> list[str]:
    """Write the remarks on a comparison of rules.

    Which rules lack a metric, whether the oracles saw all epochs, the size of the smallest group, and the cost of
    having no group labels.

    Args:
        tables: those of any evaluated epoch of the study, where the counts of groups are read.
    """
    metrics = list(rows[0].values) if rows else []
    return [
        *_gaps(rows),
        *_partial_oracles(metrics, trials),
        *_small_groups(metrics, tables or {}),
        *_without_groups(rows, metrics),
    ]


def any_tables(trial: Trial) -> Mapping[str, Table]:
    """The tables of a trial's last evaluated epoch."""
    return next((report.tables for report in reversed(trial.epochs) if report.tables), {})


def _gaps(rows: Sequence[RuleRow]) -> list[str]:
    unmeasured = dict.fromkeys(row.rule for row in rows if row.trial is None)
    lines = [f"{rule}: no evaluated epoch of some space has what it reads" for rule in unmeasured]
    for row in rows:
        lacking = [metric for metric, value in row.values.items() if value is None]
        if row.trial is not None and lacking:
            lines.append(
                f"{row.rule} chose epoch {row.epoch} of {row.space}'s trial {row.trial}, which has no "
                f"{', '.join(lacking)}: {EVERY_EPOCH}"
            )
    return lines


def _partial_oracles(metrics: Sequence[str], trials: Sequence[Trial]) -> list[str]:
    evaluated = [m for trial in trials for m in trial.history if variants_in(m, VALIDATION)]
    lines = []
    for metric in metrics:
        lacking = sum(metric not in found for found in evaluated)
        if lacking:
            lines.append(
                f"the oracle of {metric} saw {len(evaluated) - lacking} of {len(evaluated)} evaluated epochs: "
                f"{EVERY_EPOCH}"
            )
    return lines


def _small_groups(metrics: Sequence[str], tables: Mapping[str, Table]) -> list[str]:
    lines = []
    for metric in metrics:
        table = tables.get(variant_metric(TEST, variant_of(metric) or "", COUNT))
        if table is None or not metric.endswith(WORST_GROUP_ACCURACY):
            continue
        smallest = int(min(count for row in table.values for count in row if count))
        if smallest < FEW_IMAGES:
            lines.append(
                f"the smallest group of {label_of(metric)} has {counted(smallest, 'test image')}: one image moves it "
                f"by {100 / smallest:.1f} points"
            )
    return lines


def _without_groups(rows: Sequence[RuleRow], metrics: Sequence[str]) -> list[str]:
    found = {(row.rule, row.space): row.values for row in rows}
    spaces = dict.fromkeys(row.space for row in rows)
    labels = "moved backgrounds and group labels" if any(row.needs == MOVED for row in rows) else "group labels"
    lines = []
    for metric in metrics:
        gains = {
            space: with_groups - without
            for space in spaces
            if (with_groups := found.get((WORST_GROUP, space), {}).get(metric)) is not None
            and (without := found.get((WORST_CLASS, space), {}).get(metric)) is not None
        }
        if gains:
            each = ", ".join(f"{space} {points(gain)}" for space, gain in gains.items())
            lines.append(
                f"{labels} for choosing ({WORST_GROUP} instead of {WORST_CLASS}) change test {label_of(metric)} by "
                f"{points(fmean(gains.values()))} points on average: {each}"
            )
    return lines
