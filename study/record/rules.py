"""Selection rules: each chooses a trial of a space and one of its epochs. Pure functions.

A rule reads recorded metrics, so it needs no training. Every rule except `oracle-...` reads validation data only.

validation-<variant>          accuracy on one validation variant, such as validation-shuffled
validation-average            accuracy on `original`, the validation data as they were collected
validation-balanced           on `original`, the mean of the classes' accuracies
validation-worst-class        on `original`, the lowest of the classes' accuracies
validation-mean-of-variants   the mean of the accuracies on all variants that show an object
validation-worst-group        the lowest accuracy of a (class, place) cell on any of these variants
last-epoch                    each trial's last evaluated epoch; trials are compared there on the first objective
oracle-<metric>               a test metric itself, such as oracle-shuffled/worst_group_accuracy; oracle-shuffled is the
                              accuracy there. An upper bound, never a result

Source: the rules of I. Gulrajani and D. Lopez-Paz, "In Search of Lost Domain Generalization", 2021 (arXiv 2007.01434),
and of Y. Yang et al., "Change is Hard", 2023 (arXiv 2302.12254).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from bgbias.data.dataset import ORIGINAL
from bgbias.errors import SettingError, UnknownNameError
from bgbias.metrics import (
    ADJUSTED_ACCURACY,
    BALANCED_ACCURACY,
    MEAN_GROUP_ACCURACY,
    TEST,
    VALIDATION,
    WORST_CLASS_ACCURACY,
    WORST_GROUP_ACCURACY,
    accuracy,
    label_of,
    on_test,
    variant_metric,
    variant_of,
    variants_in,
)
from study.record.epoch import Metrics
from study.record.selection import Trial, score

PREFIX, ORACLE, LAST = "validation-", "oracle-", "last-epoch"
AVERAGE, BALANCED, WORST_CLASS = "validation-average", "validation-balanced", "validation-worst-class"
MEAN_OF_VARIANTS, WORST_GROUP = "validation-mean-of-variants", "validation-worst-group"

LABELS, MOVED, GROUPS, TEST_DATA = "class labels", "moved backgrounds", "group labels", "test data"
"""Knowledge that a rule needs in addition to the validation images, from the least to the most."""


@dataclass(frozen=True)
class Rule:
    """A selection rule: it chooses an epoch of each trial, and a trial of each space.

    metrics: metrics that an epoch must have; epochs without one of them are ignored
    combine: the mean or the minimum of their scores
    needs: the knowledge about the data that the rule needs: one of `LABELS`, `MOVED`, `GROUPS`, `TEST_DATA`
    ties: metrics whose mean decides between equal epochs, such as those whose small worst group has accuracy 0
    last: True if only the last epoch of a trial that has the metrics is read
    """

    name: str
    metrics: tuple[str, ...]
    needs: str
    combine: Callable[[Sequence[float]], float] = fmean
    ties: tuple[str, ...] = ()
    last: bool = False

    @property
    def oracle(self) -> bool:
        """True if the rule reads test data."""
        return self.needs == TEST_DATA

    def value(self, metrics: Metrics) -> tuple[float, float] | None:
        """Return an epoch's score, higher is better, and a second one that breaks ties; None if it was not measured."""
        if not all(name in metrics for name in self.metrics):
            return None
        tie = fmean([score(metrics, name) for name in self.ties]) if self.ties else 0.0
        return self.combine([score(metrics, name) for name in self.metrics]), tie


@dataclass(frozen=True)
class Choice:
    """A rule's choice: a trial's epoch, and its value by the rule."""

    trial: Trial
    epoch: int
    value: tuple[float, float]

    @property
    def metrics(self) -> Metrics:
        """All metrics of the chosen epoch."""
        return self.trial.history[self.epoch - 1]


def shared_variants(trials: Iterable[Trial], objectless: Sequence[str] = ()) -> list[str]:
    """List the validation variants that show objects on places and that every trial was evaluated on, in order.

    Trials without an evaluation are ignored. `challenge`, each object on its worst background, has no places.
    """
    found: list[str] | None = None
    for trial in trials:
        first = next((metrics for metrics in trial.history if variants_in(metrics, VALIDATION)), None)
        if first is not None:
            mine = [v for v in variants_in(first, VALIDATION) if _worst_group(v) in first]
            found = [variant for variant in found if variant in mine] if found is not None else mine
    return [variant for variant in found or () if variant not in objectless]


def rules_of(variants: Sequence[str], objectives: Sequence[str], metrics: Sequence[str]) -> list[Rule]:
    """Make all rules that a study's record allows: those that need least knowledge first, the oracles last.

    Args:
        variants: the result of `shared_variants`.
        objectives: those of the search.
        metrics: test metrics; each gets an oracle.
    """
    names = [
        LAST,
        *([AVERAGE, BALANCED, WORST_CLASS] if ORIGINAL in variants else []),
        *(f"{PREFIX}{variant}" for variant in variants if variant != ORIGINAL),
        *([MEAN_OF_VARIANTS] if len(variants) > 1 else []),
        *([WORST_GROUP] if variants else []),
        *(f"{ORACLE}{label_of(metric)}" for metric in metrics),
    ]
    return [rule_named(name, variants, objectives) for name in names]


def rule_named(name: str, variants: Sequence[str], objectives: Sequence[str]) -> Rule:
    """Make the rule with a name.

    Raises:
        SettingError: the name asks for test data but does not begin with `oracle-`.
        UnknownNameError: no rule has the name.
    """
    if name.startswith(ORACLE):
        metric = metric_on_test(name.removeprefix(ORACLE))
        variant = variant_of(metric)
        return Rule(name, (metric,), TEST_DATA, ties=(accuracy(TEST, variant),) if variant else ())
    if name.startswith(TEST):
        rest = name.removeprefix(TEST).strip("-/")
        raise SettingError(
            f"a rule must read validation data, but '{name}' reads test data: give {PREFIX}{rest.partition('/')[0]}, "
            f"or {ORACLE}{rest}, which is shown apart"
        )
    own = {
        AVERAGE: Rule(AVERAGE, (accuracy(VALIDATION, ORIGINAL),), LABELS),
        BALANCED: Rule(BALANCED, (variant_metric(VALIDATION, ORIGINAL, BALANCED_ACCURACY),), LABELS),
        WORST_CLASS: Rule(
            WORST_CLASS,
            (variant_metric(VALIDATION, ORIGINAL, WORST_CLASS_ACCURACY),),
            LABELS,
            ties=(accuracy(VALIDATION, ORIGINAL),),
        ),
        LAST: Rule(LAST, tuple(objectives[:1]), _needed(objectives[0]), last=True),
    }
    if variants:
        accuracies = tuple(accuracy(VALIDATION, variant) for variant in variants)
        own[MEAN_OF_VARIANTS] = Rule(MEAN_OF_VARIANTS, accuracies, MOVED)
        own[WORST_GROUP] = Rule(WORST_GROUP, tuple(map(_worst_group, variants)), GROUPS, min, accuracies)
    for variant in variants:
        needs = LABELS if variant == ORIGINAL else MOVED
        own[f"{PREFIX}{variant}"] = Rule(f"{PREFIX}{variant}", (accuracy(VALIDATION, variant),), needs)
    if name not in own:
        raise UnknownNameError("rule", name, [*own, f"{ORACLE}<metric>"])
    return own[name]


def _needed(metric: str) -> str:
    """The knowledge that a validation metric needs."""
    if metric.rpartition("/")[2] in (WORST_GROUP_ACCURACY, MEAN_GROUP_ACCURACY, ADJUSTED_ACCURACY):
        return GROUPS
    return LABELS if variant_of(metric) == ORIGINAL else MOVED


def _worst_group(variant: str) -> str:
    return variant_metric(VALIDATION, variant, WORST_GROUP_ACCURACY)


def metric_on_test(name: str) -> str:
    """The test metric that a name means: `test/shuffled/accuracy` of `shuffled`, and of itself.

    Raises:
        SettingError: it is of another split.
    """
    split, _, rest = name.partition("/")
    if split == TEST:
        return name
    if split == VALIDATION:
        raise SettingError(f"a test metric is needed, but got '{name}': give '{rest}'")
    return on_test(f"{VALIDATION}/{name}") if rest else accuracy(TEST, name)


def choose(trials: Sequence[Trial], rule: Rule) -> Choice | None:
    """Choose a trial and its epoch by a rule; of equals the earlier. None if no epoch has the rule's metrics."""
    found = [choice for trial in trials if (choice := choose_epoch(trial, rule))]
    return max(found, key=lambda choice: (choice.value, -choice.trial.number), default=None)


def choose_epoch(trial: Trial, rule: Rule) -> Choice | None:
    """Choose an epoch of one trial by a rule; of equals the earlier. None if no epoch has the rule's metrics."""
    values = [(epoch, value) for epoch, m in enumerate(trial.history, start=1) if (value := rule.value(m)) is not None]
    if not values:
        return None
    epoch, value = values[-1] if rule.last else max(values, key=lambda found: (found[1], -found[0]))
    return Choice(trial, epoch, value)
