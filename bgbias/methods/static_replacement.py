"""Static background replacement: one random assignment of backgrounds, fixed before training."""

from dataclasses import replace
from typing import ClassVar

from torch import Generator

from bgbias.components import component
from bgbias.data.assignment import of_random_class
from bgbias.data.dataset import Dataset
from bgbias.methods.method import Method


@component
class StaticReplacement(Method):
    """Every training foreground is pasted once on a background of a random class (training on Mixed-Rand).

    Supervision: mask, background
    Cost: ERM's
    Source: K. Xiao et al., "Noise or Signal", 2020 (arXiv 2006.09994), section 4.
    """

    needs_masks: ClassVar[bool] = True

    def prepare(self, dataset: Dataset, rng: Generator) -> Dataset:
        train = dataset.train
        chosen = of_random_class(len(train), train.backgrounds.place, rng)
        return replace(dataset, train=train.assigned(chosen))
