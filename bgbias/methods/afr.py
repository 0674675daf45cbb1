"""Automatic feature reweighting: the last layer is trained further on held-out examples that it gets wrong."""

import copy
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from bgbias.components import NonNegative, component
from bgbias.data.dataset import Dataset
from bgbias.methods.frozen import with_features
from bgbias.methods.last_layer import LastLayer, features_of
from bgbias.methods.method import Learner, Output, own_of
from bgbias.models.model import Classifier
from bgbias.types import Batch, Task


class Before(nn.Module):
    """The head as it was, and what the weights need beside it.

    head: from features [B, F] to logits [B, K], frozen
    count: [K] float, the head's examples of each class
    mean: the mean of the weights before they are divided by it
    """

    count: Tensor
    mean: Tensor

    def __init__(self, head: nn.Module, classes: int) -> None:
        super().__init__()
        self.head = copy.deepcopy(head).requires_grad_(False)
        self.register_buffer("count", torch.ones(classes))
        self.register_buffer("mean", torch.ones(()))

    def weight(self, features: Tensor, label: Tensor, gamma: float) -> Tensor:
        """Compute exp(-gamma p_y) / n_y of each example, [B] > 0, with p_y the probability of its class.

        Args:
            features: [B, F].
            label: [B] int64.
        """
        probability = self.head(features).float().softmax(dim=1).gather(1, label[:, None])[:, 0]
        return torch.exp(-gamma * probability) / self.count[label]


@component
class Afr(LastLayer):
    """Weighted cross-entropy of the last layer on frozen features, plus a penalty on its distance from before.

    An example's weight is exp(-gamma p_y) / n_y, divided by the mean over the head's examples; the penalty is anchor
    times the squared distance of weights and biases. p_y is the probability of the example's class before, n_y the
    number of the head's examples of that class. With
    gamma 0 classes count alike. The paper takes 20 % of the training images for the head, and 500 epochs of one batch
    with SGD at 0.01; here Training is the head's, and the body has the defaults.

    gamma: >= 0, how much more wrong examples count; published 4 to 20 on Waterbirds
    anchor: >= 0, lambda of the paper; published 0 to 0.25
    backbone, backbone_epochs, data, held_out: as `bgbias.methods.last_layer.LastLayer` has them

    Supervision: class; the paper stops by the worst group's validation accuracy
    Cost: the body's training and one forward pass over all pictures; an epoch of the head takes no time beside them
    Source: S. Qiu et al., "Simple and Fast Group Robustness by Automatic Feature Reweighting", 2023 (arXiv 2306.11074).
    """

    data: Literal["train", "validation"] = "train"
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    gamma: NonNegative = 8.0
    anchor: NonNegative = 0.0

    def build(self, task: Task, classifier: Classifier) -> Before:
        super().build(task, classifier)
        return Before(classifier.head, len(task.classes))

    @torch.no_grad()
    def enter(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> None:
        before, train = own_of(learner, Before), with_features(learner.classifier, dataset).train
        before.head.load_state_dict(learner.classifier.head.state_dict())
        before.count.copy_(torch.bincount(train.foregrounds.label, minlength=len(before.count)))
        features = features_of(train).to(before.count.device)
        before.mean.copy_(before.weight(features, train.foregrounds.label, self.gamma).mean())

    @torch.no_grad()
    def weigh(self, learner: Learner, batch: Batch, terms: Mapping[str, Tensor]) -> Tensor:
        before = own_of(learner, Before)
        return before.weight(learner.classifier.features(batch.image), batch.label, self.gamma) / before.mean

    def penalties(self, learner: Learner, batch: Batch, output: Output, rng: Generator) -> dict[str, Tensor]:
        pairs = zip(learner.classifier.head.parameters(), own_of(learner, Before).head.parameters(), strict=True)
        squares = [(now - was).square().sum() for now, was in pairs]
        return {"distance": self.anchor * torch.stack(squares).sum()}
