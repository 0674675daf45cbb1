"""Group DRO: minimise the loss of the worst group, by a weight of each group that rises with its loss."""

import math
from collections.abc import Mapping

import torch
from torch import Generator, Tensor, nn

from bgbias.components import NonNegative, Positive, component
from bgbias.data.dataset import Dataset, Variant
from bgbias.methods.group_losses import example_losses, newest_means, raised
from bgbias.methods.method import Learner, Method, Notes, own_of
from bgbias.methods.per_example import PerExample
from bgbias.models.model import Classifier
from bgbias.table import Table
from bgbias.types import Batch, Task


class GroupWeights(nn.Module):
    """The weights of the groups.

    log_q: [G], logarithm of the weight of each group (class, place); -inf for those that do not occur in training
    loss: [G] >= 0, mean cross-entropy of each in the newest batch that had it; log K before the first
    count: [G] int64, training examples of each
    group: the group of each training example
    """

    log_q: Tensor
    loss: Tensor
    count: Tensor
    group: PerExample

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.classes, self.places = task.classes, task.places
        groups = len(task.classes) * len(task.places)
        self.register_buffer("log_q", torch.full((groups,), -math.log(groups)))
        self.register_buffer("loss", torch.full((groups,), math.log(len(task.classes))))
        self.register_buffer("count", torch.zeros(groups, dtype=torch.int64))
        self.group = PerExample(torch.zeros(task.examples, dtype=torch.int64))

    @property
    def q(self) -> Tensor:
        """[G] >= 0 of sum 1."""
        return self.log_q.exp()


@component
class GroupDro(Method):
    """Each batch, q_g <- q_g exp(step (L_g + adjustment / sqrt(n_g))), with sum 1, and the loss is sum_g q_g L_g.

    L_g is the group's mean cross-entropy; n_g is its number among the N training examples. q begins uniform over the
    groups (class, place) that occur in training. An example's group is the one it has there, also where another method
    puts it elsewhere. The adjustment moves q alone, not the reported loss.

    The paper draws batches in which groups are alike frequent; here batches are drawn as for any method. So an
    example's loss has the weight q_g N / n_g, which has the same expectation, and for q a group that a batch lacks
    keeps the L_g of the newest batch that had it (log K before the first): otherwise q would rise with how often a
    group occurs.

    step: > 0, of the weights' logarithms; published 0.01, searched from 0.001 to 0.1
    adjustment: >= 0, C of the paper, which favours small groups, whose loss generalises worse; published 0 to 5

    Supervision: group
    Cost: ERM's
    Source: S. Sagawa et al., "Distributionally Robust Neural Networks for Group Shifts", 2020 (arXiv 1911.08731).
    """

    step: Positive = 0.01
    adjustment: NonNegative = 0.0

    def build(self, task: Task, classifier: Classifier) -> GroupWeights:
        return GroupWeights(task)

    def enter(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> None:
        own = own_of(learner, GroupWeights)
        own.group.value = dataset.train.group
        first = not own.count.any()
        own.count.copy_(torch.bincount(own.group.value, minlength=len(own.count)))
        if first:
            own.log_q.copy_(((own.count > 0) / (own.count > 0).sum()).log())

    def weigh(self, learner: Learner, batch: Batch, terms: Mapping[str, Tensor]) -> Tensor:
        own, loss = own_of(learner, GroupWeights), example_losses(self.name(), terms)
        group = own.group.value[batch.index]
        own.loss.copy_(newest_means(loss, group, own.loss))
        own.log_q.copy_(raised(own.log_q, own.loss, own.count, self.step, self.adjustment))
        return (own.q * own.count.sum() / own.count.clamp(min=1))[group]

    def notes(self, learner: Learner, validation: Mapping[str, Variant]) -> Notes:
        own = own_of(learner, GroupWeights)
        return Notes(tables={"q": Table.of(own.q.view(len(own.classes), -1), own.classes, own.places)})
