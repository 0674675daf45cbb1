"""The evaluation of a model on all variants of a dataset, by every evaluator."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import field_validator

from bgbias.components import Count, Registry, component
from bgbias.data.dataset import Dataset, Variant
from bgbias.evaluation.accuracy import predict_all
from bgbias.evaluation.evaluator import Evaluator, Predictions, SplitResult
from bgbias.methods.method import Learner, Method
from bgbias.metrics import TEST, VALIDATION
from bgbias.table import Table

evaluators = Registry("evaluator", "bgbias.evaluation", Evaluator)


@component
class Evaluation:
    """When a model is evaluated, and by what.

    every: after every `every` epochs and after the last; checkpoints are chosen among evaluated epochs. A number above
        the epochs evaluates the last alone, so that nothing is chosen
    test: at which of these epochs test variants are evaluated too: `kept`, those that are the best so far for some
        validation variant or objective, and the last; or `every`, which the highest test accuracy of any epoch
        (`oracle`) needs
    also: names of optional evaluators with commas between, such as `challenge,saliency`; empty for none
    """

    every: Count = 1
    test: Literal["kept", "every"] = "kept"
    also: str = ""

    @field_validator("also")
    @classmethod
    def _known(cls, names: str) -> str:
        optional = [name for name, evaluator in evaluators.items() if evaluator.optional]
        unknown = [name for name in split_names(names) if name not in optional]
        if unknown:
            raise ValueError(f"must hold names among {', '.join(optional)}")
        return names

    def chosen(self) -> list[Evaluator]:
        """Every evaluator that runs always, and the optional ones that were named."""
        asked = split_names(self.also)
        return [cls() for name, cls in evaluators.items() if not cls.optional or name in asked]


def split_names(names: str) -> list[str]:
    """The names in a text with commas between."""
    return [name.strip() for name in names.split(",") if name.strip()]


@dataclass(frozen=True)
class Result:
    """A model's evaluation.

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
    """Predict every variant of some splits, and compute what the evaluators measure.

    Args:
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
    """The variants a model is evaluated on, by `val` and `test`."""
    return {VALIDATION: dataset.validation, TEST: dataset.test}
