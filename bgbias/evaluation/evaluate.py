"""Evaluation of a learner on all variants of a dataset, by every evaluator."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, field_validator

from bgbias.components import Count, Registry, component, field_names
from bgbias.data.dataset import Dataset, Variant
from bgbias.evaluation.accuracy import predict_all
from bgbias.evaluation.evaluator import Evaluator, Predictions, SplitResult
from bgbias.methods.method import Learner, Method
from bgbias.metrics import TEST, VALIDATION
from bgbias.precision import Precision
from bgbias.table import Table

evaluators = Registry("evaluator", "bgbias.evaluation", Evaluator)


@component
class Evaluation:
    """The epochs at which a run is evaluated, and the optional evaluators.

    every: evaluate after every `every` epochs and after the last. Checkpoints are chosen among evaluated epochs; a
        number above the run's epochs evaluates the last one only
    test: the evaluated epochs with test variants: `kept`, those that are the best for some validation variant or
        objective where a search may stop the run and at its end, and the last; or `every`, needed for the highest test
        accuracy of any epoch (`oracle`)
    also: names of optional evaluators with commas between, such as `challenge,saliency`; empty for none
    precision: `float32` or `bfloat16`; None is that of training. Where a CPU has instructions for bfloat16, a
        ResNet-18 evaluates photographs of 64 pixels in it in 0.6 of the time
    backgrounds: >= 2, how many `challenge` tries, evenly spread; None for all
    """

    every: Count = 1
    test: Literal["kept", "every"] = "kept"
    also: str = ""
    precision: Precision | None = None
    backgrounds: Annotated[int, Field(ge=2)] | None = None

    @field_validator("also")
    @classmethod
    def _known(cls, names: str) -> str:
        optional = [name for name, evaluator in evaluators.items() if evaluator.optional]
        unknown = [name for name in split_names(names) if name not in optional]
        if unknown:
            raise ValueError(f"must hold names among {', '.join(optional)}")
        return names

    def chosen(self) -> list[Evaluator]:
        """Make every evaluator that always runs, and the named optional ones, with the settings of their fields."""
        asked = split_names(self.also)
        return [
            cls(**{name: getattr(self, name) for name in field_names(cls)})
            for own, cls in evaluators.items()
            if not cls.optional or own in asked
        ]


def split_names(names: str) -> list[str]:
    """Split names with commas between."""
    return [name.strip() for name in names.split(",") if name.strip()]


@dataclass(frozen=True)
class Result:
    """A learner's evaluation.

    predictions: by `<split>/<variant>`
    metrics, tables: by their names
    """

    predictions: dict[str, Predictions]
    metrics: dict[str, float]
    tables: dict[str, Table]


def evaluate(
    method: Method,
    learner: Learner,
    dataset: Dataset,
    chosen: Sequence[Evaluator],
    wanted: Collection[str] = (VALIDATION, TEST),
) -> Result:
    """Predict every variant of some splits, and run the evaluators.

    Args:
        method: computes predictions.
        learner: is put into eval mode.
        chosen: the evaluators.
        dataset: as the learner sees it, on its device.
        wanted: the splits, `val` and `test` or one of them.
    """
    result = Result({}, {}, {})
    for split, variants in splits(dataset).items():
        if split not in wanted:
            continue
        predictions = predict_all(method, learner, variants)
        found = SplitResult(method, learner, dataset, split, variants, predictions)
        for evaluator in chosen:
            predictions |= evaluator.variants(found)
        for evaluator in chosen:
            notes = evaluator.measure(found)
            result.metrics.update(notes.values)
            result.tables.update(notes.tables)
        result.predictions.update({f"{split}/{name}": found for name, found in predictions.items()})
    return result


def splits(dataset: Dataset) -> dict[str, Mapping[str, Variant]]:
    """Return the variants of the splits `val` and `test`."""
    return {VALIDATION: dataset.validation, TEST: dataset.test}
