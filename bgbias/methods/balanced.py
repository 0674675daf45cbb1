"""Balancing: every class or every group counts alike."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from bgbias.components import component
from bgbias.data.dataset import Dataset, Variant
from bgbias.methods.method import Learner, Method
from bgbias.methods.per_example import PerExample
from bgbias.models.model import Classifier
from bgbias.types import Batch, Task


@component
class Balanced(Method):
    """SUBY, RWY, SUBG and RWG: smaller classes or groups (class, place) count as much as larger ones.

    by: `class` or `group`, what is balanced
    how: `subsample` keeps as many random examples of each as the smallest has, drawn once for a run as in the paper;
        `reweight` weights each example's loss by N / (G n_g), of mean 1, with G classes or groups that occur and n_g
        examples in its own. The paper draws examples with that probability instead, which has the same expectation

    An example's group is the one it has in the training set, also where another method puts it elsewhere. The paper
    finds that reweighting helps only when it is stopped early.

    Supervision: class, or group
    Cost: subsampling less than ERM's, by the share of examples that are kept; reweighting ERM's
    Source: B. Idrissi et al., "Simple data balancing achieves competitive worst-group-accuracy", 2022
    (arXiv 2110.14503).
    """

    by: Literal["class", "group"] = "group"
    how: Literal["subsample", "reweight"] = "reweight"

    def prepare(self, dataset: Dataset, rng: Generator) -> Dataset:
        if self.how == "reweight":
            return dataset
        return replace(dataset, train=dataset.train.at(balanced_draw(self.number(dataset.train), rng)))

    def build(self, task: Task, classifier: Classifier) -> nn.Module:
        return PerExample(torch.ones(task.examples))

    def enter(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> None:
        learner.own.value = balancing_weight(self.number(dataset.train))

    def weigh(self, learner: Learner, batch: Batch, terms: Mapping[str, Tensor]) -> Tensor | None:
        if self.how == "subsample":
            return None
        return learner.own.get_buffer("value")[batch.index]

    def number(self, variant: Variant) -> Tensor:
        """The class or group of each example, [N] int64."""
        return variant.foregrounds.label if self.by == "class" else variant.group


def balanced_draw(group: Tensor, generator: Generator) -> Tensor:
    """Random examples, as many of each group as the smallest that occurs has, without repetition.

    Args:
        group: [N] int64.
        generator: on the CPU.

    Returns:
        Their indices [n] int64, rising.
    """
    order = torch.randperm(len(group), generator=generator)
    shuffled = group.cpu()[order]
    count = torch.bincount(shuffled)
    smallest = int(count[count > 0].min()) if len(group) else 0
    kept = [order[(shuffled == number).nonzero()[:smallest, 0]] for number in count.nonzero()[:, 0]]
    return torch.cat([order[:0], *kept]).sort().values.to(group.device)


def balancing_weight(group: Tensor) -> Tensor:
    """N / (G n_g) of each example, [N] > 0: the weights of every group have the same sum, and all have mean 1.

    Args:
        group: [N] int64; G of them occur.
    """
    count = torch.bincount(group)
    return len(group) / ((count > 0).sum() * count[group])
