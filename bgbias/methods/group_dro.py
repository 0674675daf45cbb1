"""Group DRO: minimise the loss of the worst group, by a weight of each group that rises with its loss."""

from collections.abc import Mapping

import torch
from torch import Generator, Tensor, nn

from bgbias.components import NonNegative, Positive, component
from bgbias.data.dataset import Dataset, Variant
from bgbias.errors import SettingError
from bgbias.methods.group_means import group_means
from bgbias.methods.method import CROSS_ENTROPY, Learner, Method, Notes, own_of
from bgbias.methods.per_example import PerExample
from bgbias.models.model import Classifier
from bgbias.table import Table
from bgbias.types import Batch, Task


class GroupWeights(nn.Module):
    """The weights of the groups.

    q: [G] >= 0 of sum 1, the weight of each group (class, place); 0 for those that do not occur in training
    count: [G] int64, training examples of each
    group: the group of each training example
    """

    q: Tensor
    count: Tensor
    group: PerExample

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.classes, self.places = task.classes, task.places
        groups = len(task.classes) * len(task.places)
        self.register_buffer("q", torch.full((groups,), 1 / groups))
        self.register_buffer("count", torch.zeros(groups, dtype=torch.int64))
        self.group = PerExample(torch.zeros(task.examples, dtype=torch.int64))


@component
class GroupDro(Method):
    """Each batch, q_g <- q_g exp(step (L_g + adjustment / sqrt(n_g))), with sum 1, and the loss is sum_g q_g L_g.

    L_g is the mean cross-entropy of the group's examples in the batch, 0 where it has none; n_g is its number of
    training examples. q begins uniform over the groups (class, place) that occur in training. An example's group is
    the one it has there, also where another method puts it elsewhere. The adjustment moves q alone, not the reported
    loss. The paper draws batches in which groups are alike frequent; here batches are drawn as for any method.

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
        own.count.copy_(torch.bincount(own.group.value, minlength=len(own.count)))
        own.q.copy_((own.count > 0) / (own.count > 0).sum())

    def weigh(self, learner: Learner, batch: Batch, terms: Mapping[str, Tensor]) -> Tensor:
        own, loss = own_of(learner, GroupWeights), terms[CROSS_ENTROPY].detach().float()
        if loss.ndim == 0:
            raise SettingError(
                "group_dro needs the cross-entropy of each example, but the method it is combined with gives their "
                "mean: choose another method"
            )
        group = own.group.value[batch.index]
        mean, present = group_means(loss, group, len(own.q))
        own.q.copy_(raised(own.q, mean, own.count, self.step, self.adjustment))
        return (own.q / present)[group] * len(batch)

    def notes(self, learner: Learner, validation: Mapping[str, Variant]) -> Notes:
        own = own_of(learner, GroupWeights)
        return Notes(tables={"q": Table.of(own.q.view(len(own.classes), -1), own.classes, own.places)})


def raised(q: Tensor, loss: Tensor, count: Tensor, step: float, adjustment: float) -> Tensor:
    """Compute q_g exp(step (L_g + adjustment / sqrt(n_g))), divided by their sum: [G].

    Args:
        q: [G] >= 0; a group of weight 0 keeps it.
        loss: [G], the mean of each group.
        count: [G] int64, the groups' sizes.
    """
    return (q.log() + step * (loss + adjustment / count.clamp(min=1).sqrt())).softmax(dim=0)
