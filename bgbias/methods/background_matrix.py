"""A matrix of classes and background classes: how often each class is shown on each background."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from bgbias.components import NonNegative, Positive, Share, component
from bgbias.data.assignment import of_class
from bgbias.data.dataset import Dataset, Variant
from bgbias.methods.background_predictions import fitted_predictions
from bgbias.methods.group_losses import example_losses, newest_means, raised
from bgbias.methods.method import Learner, Method, Notes, Stage, own_of
from bgbias.models.model import Classifier
from bgbias.table import Table
from bgbias.types import Batch, Examples, Task


class Cells(nn.Module):
    """The matrix of replacement and what its rules are computed from.

    replaced: [], the chance that an example is replaced; 0 in the first epoch of the rule `balancing`
    log_share: [K, P], logarithms of the matrix before its floor, rows of sum 1
    loss: [K, P] >= 0, mean cross-entropy of each cell in the newest batch that had it; log K before the first
    count: [K, P], training examples of each cell
    available: [P] bool, which places have backgrounds
    predictions: [P, K], what is predicted from backgrounds alone, of the rule `balancing`
    """

    replaced: Tensor
    log_share: Tensor
    loss: Tensor
    count: Tensor
    available: Tensor
    predictions: Tensor

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.classes, self.places = task.classes, task.places[:-1]
        shape = len(self.classes), len(self.places)
        self.register_buffer("replaced", torch.zeros(()))
        self.register_buffer("log_share", torch.full(shape, -math.log(shape[1])))
        self.register_buffer("loss", torch.full(shape, math.log(shape[0])))
        self.register_buffer("count", torch.zeros(shape))
        self.register_buffer("available", torch.ones(shape[1], dtype=torch.bool))
        self.register_buffer("predictions", torch.zeros(shape[1], shape[0]))

    @property
    def uniform(self) -> Tensor:
        """[P], alike for all places that have backgrounds."""
        return self.available / self.available.sum()

    def share(self, floor: float) -> Tensor:
        """[K, P] >= 0, rows of sum 1: how often an example of class c that is replaced is put on place d.

        Args:
            floor: in [0, 1], the share that is uniform over the places.
        """
        return torch.lerp(self.log_share.exp(), self.uniform.expand_as(self.log_share), floor)


@component
class BackgroundMatrix(Method):
    """With chance `replaced` an example of class c stands on place d, drawn from the row T[c, :] of a learned matrix.

    rule: how T follows from training; `floor` of it is uniform in both
        `adversarial`: each batch, T[c, d] <- T[c, d] exp(step (L[c, d] + adjustment / sqrt(n[c, d]))), divided by its
            row's sum; L is the cell's mean cross-entropy in the newest batch that had it (log K before the first), n
            its training examples (at least 1): group DRO over the cells, each class for itself
        `balancing`: after a first epoch without replacement, so that what a logistic regression on the body's features
            predicts from the background alone is as frequent in every class as over all, q[s]: T[c, d] is proportional
            to sum_s max(0, q[s] - (1 - replaced) P[s | c]) P(d | s), with P[s | c] the share of prediction s among
            the backgrounds that c has in training; the stronger c's bias, the rarer it stands on its own backgrounds
            beside the other classes
    replaced: in [0, 1], chance of replacement
    step: > 0, of `adversarial`; published 0.01
    adjustment: >= 0, of `adversarial`; published 0 to 5
    floor: in [0, 1], share of the draws that is uniform over the places, so that no cell is lost

    Supervision: mask, background
    Cost: ERM's; `balancing` once 128 pictures of each background class more
    Sources: further work of "Mitigating image background bias in DNN" (2022); S. Sagawa et al., "Distributionally
    Robust Neural Networks for Group Shifts", 2020 (arXiv 1911.08731), for `adversarial`; the aim of `balancing` is
    that of FG-CCDB (arXiv 2505.06831), there reached by weights of real pictures, here by composed ones.
    """

    needs_masks: ClassVar[bool] = True

    rule: Literal["adversarial", "balancing"] = "adversarial"
    replaced: Share = 0.5
    step: Positive = 0.01
    adjustment: NonNegative = 0.0
    floor: Share = 0.1

    def build(self, task: Task, classifier: Classifier) -> Cells:
        return Cells(task)

    def stages(self, epochs: int) -> Sequence[Stage]:
        if self.rule == "balancing":
            return Stage(1), Stage(epochs - 1, same_view=True)
        return (Stage(epochs),)

    def enter(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> None:
        own = own_of(learner, Cells)
        if stage == 0:
            own.count.copy_(dataset.training_groups[:, :-1])
            own.available.copy_(torch.bincount(dataset.train.backgrounds.place, minlength=len(own.places)) > 0)
            own.log_share.copy_(own.uniform.log().expand_as(own.log_share))
            own.replaced.fill_(0 if self.rule == "balancing" else self.replaced)
        else:
            own.predictions.copy_(fitted_predictions(learner, dataset, rng))
            own.log_share.copy_(balanced(own.count, own.predictions, own.available, self.replaced).log())
            own.replaced.fill_(self.replaced)

    def assign(self, learner: Learner, examples: Examples, rng: Generator) -> Tensor:
        own = own_of(learner, Cells)
        drawn = torch.multinomial(own.share(self.floor)[examples.label], 1, generator=rng)[:, 0]
        replaced = torch.rand(len(examples), generator=rng, device=rng.device) < own.replaced
        return torch.where(replaced, of_class(drawn, examples.backgrounds.place, rng), examples.background)

    def weigh(self, learner: Learner, batch: Batch, terms: Mapping[str, Tensor]) -> Tensor | None:
        if self.rule == "adversarial":
            own, loss = own_of(learner, Cells), example_losses(self.name(), terms)
            places = len(own.places)
            cell = torch.where(batch.place < 0, -1, batch.label * places + batch.place)
            own.loss.copy_(newest_means(loss, cell, own.loss.flatten()).view_as(own.loss))
            own.log_share.copy_(raised(own.log_share, own.loss, own.count, self.step, self.adjustment))
        return None

    def notes(self, learner: Learner, validation: Mapping[str, Variant]) -> Notes:
        own = own_of(learner, Cells)
        tables = {"background_matrix": Table.of(own.share(self.floor), own.classes, own.places)}
        if self.rule == "balancing":
            tables["background_predictions"] = Table.of(own.predictions, own.places, own.classes)
        return Notes(tables=tables)


def balanced(count: Tensor, predictions: Tensor, available: Tensor, replaced: float) -> Tensor:
    """The rule `balancing` of `BackgroundMatrix`: [K, P], rows of sum 1.

    Args:
        count: [K, P] training examples of each cell.
        predictions: [P, K] shares of predictions from backgrounds of each place.
        available: [P] bool, which places have backgrounds.
        replaced: in [0, 1].
    """
    uniform = available / available.sum()
    of_class = count / count.sum(dim=1, keepdim=True).clamp(min=1) @ predictions
    overall = count.sum(dim=0) / count.sum().clamp(min=1) @ predictions
    lacking = (overall - (1 - replaced) * of_class).clamp(min=0)
    found = lacking @ (predictions / predictions.sum(dim=0).clamp(min=1e-12)).T * available
    total = found.sum(dim=1, keepdim=True)
    return torch.where(total > 0, found / total.clamp(min=1e-12), uniform)
