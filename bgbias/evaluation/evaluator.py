"""The base class of evaluators, and the predictions that they read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from bgbias.components import Component
from bgbias.data.dataset import Dataset, Variant
from bgbias.methods.method import Learner, Method, Notes


@dataclass(frozen=True)
class Predictions:
    """A model's predictions for the N images of a variant.

    label, prediction: [N] int64 on the CPU
    loss: mean cross-entropy; None where a prediction is the worst of many
    logits: [N, K] float on the CPU, from which the prediction comes; empty where it is the worst of many
    place: [N] int64 on the CPU, the class of each image's background, -1 without one; empty where each has many
    by_samples: by number of samples, the prediction [N] int64 of a vote over that many; empty without samples
    """

    label: Tensor
    prediction: Tensor
    loss: float | None
    logits: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    place: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    by_samples: Mapping[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class SplitResult:
    """A model's predictions on one split, with everything an evaluator may read.

    split: `val` or `test`
    dataset: as the model sees it; variants: those of the split, by name
    predictions: by variant
    """

    method: Method
    learner: Learner
    dataset: Dataset
    split: str
    variants: Mapping[str, Variant]
    predictions: Mapping[str, Predictions]


class Evaluator(Component):
    """Computes metrics of a model on a split. One file in `bgbias/evaluation` defines one subclass.

    optional: whether it runs only where a run asks for it by name (`evaluation/also`)
    """

    optional: ClassVar[bool] = False

    def variants(self, found: SplitResult) -> Mapping[str, Predictions]:
        """Further variants that are evaluated like the dataset's own, by name."""
        return {}

    def measure(self, found: SplitResult) -> Notes:
        """Metrics by their full names, such as `val/shuffled/accuracy`, and tables."""
        return Notes()
