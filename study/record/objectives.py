"""Objectives: the validation metrics that a search improves, one or several."""

from collections.abc import Iterable, Sequence

from bgbias.data.dataset import ORIGINAL
from bgbias.data.datasets import datasets
from bgbias.errors import SettingError, UnknownNameError
from bgbias.metrics import ACCURACY, TEST, VALIDATION, WORST_GROUP_ACCURACY, accuracy, variant_metric, variant_of
from study.record.config import StudyConfig


def objectives_of(config: StudyConfig) -> tuple[str, ...]:
    """The metrics that a study improves: those asked for, or the dataset's own."""
    return tuple(metric_of(name) for name in config.objectives or datasets.find(config.dataset).objectives)


def metric_of(objective: str) -> str:
    """The metric that an objective names. The name of a variant stands for its validation accuracy."""
    return objective if "/" in objective else accuracy(VALIDATION, objective)


def check_objectives(objectives: Sequence[str]) -> None:
    """Check that objectives differ and are metrics of validation data.

    Raises:
        SettingError: one is a metric of test data, or is given twice.
    """
    for metric in objectives:
        if metric.startswith(f"{TEST}/"):
            ours = metric.replace(TEST, VALIDATION, 1)
            raise SettingError(f"an objective must be a validation metric, but got '{metric}': give '{ours}'")
    if len(set(objectives)) < len(objectives):
        raise SettingError(f"objectives must differ, but got {', '.join(objectives)}: leave one out")


def check_known(space: str, objectives: Iterable[str], known: Sequence[str]) -> None:
    """Check that some trial of a space has each objective.

    Raises:
        UnknownNameError: no trial of the space has such a metric.
    """
    for metric in objectives:
        if metric in known:
            continue
        if metric.endswith(f"/{ACCURACY}"):
            variants = dict.fromkeys(variant for name in known if (variant := variant_of(name)))
            if (variant := variant_of(metric)) not in variants:
                raise UnknownNameError(f"variant of {space}", str(variant), variants)
        raise UnknownNameError(f"metric of {space}", metric, known)


def is_plain(objectives: Sequence[str]) -> bool:
    """Return True if the only objective is a variant's accuracy, which the table of variants shows already."""
    return len(objectives) == 1 and objectives[0].endswith(f"/{ACCURACY}")


def shifted_variant(dataset: str, objectives: Sequence[str] = ()) -> str:
    """The variant with changed backgrounds that methods are compared on.

    The first other than `original` among the objectives and the dataset's own; `original` where all are about it, and
    its groups tell.
    """
    metrics = map(metric_of, [*objectives, *datasets.find(dataset).objectives])
    others = (variant for metric in metrics if (variant := variant_of(metric)) not in (None, ORIGINAL))
    return next(others, ORIGINAL)


def shifted_metric(split: str, variant: str) -> str:
    """The metric of a shifted variant to compare with the accuracy on `original`: its accuracy, or the worst group's.

    Args:
        split: `val` or `test`.
        variant: as `shifted_variant` has it.
    """
    return variant_metric(split, variant, WORST_GROUP_ACCURACY if variant == ORIGINAL else ACCURACY)
