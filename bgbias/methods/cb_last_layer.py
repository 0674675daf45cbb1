"""CB-LLR: the last layer is trained anew with classes that count alike."""

from collections.abc import Mapping

import torch
from torch import Generator, Tensor, nn

from bgbias.components import component
from bgbias.data.dataset import Dataset
from bgbias.methods.balanced import balancing_weight
from bgbias.methods.last_layer import LastLayer
from bgbias.methods.method import Learner
from bgbias.models.model import Classifier
from bgbias.types import Batch, Task


@component
class CbLastLayer(LastLayer):
    """Class-weighted cross-entropy of a new last layer on frozen features.

    An example's weight is N / (K n_y), of mean 1, with n_y examples of its class among the N of the head.
    The paper draws class-balanced batches instead, which has the same expectation, for 100 epochs at the learning rate
    of the body, and takes half of the validation images. Here Training is the head's, and the body has the defaults.

    backbone, backbone_epochs, data, held_out: as `bgbias.methods.last_layer.LastLayer` has them

    Supervision: class
    Cost: the body's training and one forward pass over all pictures; an epoch of the head takes no time beside them
    Source: T. LaBonte et al., "Towards Last-layer Retraining for Group Robustness with Fewer Annotations", 2023
    (arXiv 2309.08534).
    """

    def build(self, task: Task, classifier: Classifier) -> nn.Module:
        own = super().build(task, classifier)
        own.register_buffer("weight", torch.ones(len(task.classes)))
        return own

    def enter(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> None:
        label = dataset.train.foregrounds.label
        learner.own.get_buffer("weight")[label] = balancing_weight(label)
        reset(learner.classifier.linear, rng)

    def weigh(self, learner: Learner, batch: Batch, terms: Mapping[str, Tensor]) -> Tensor:
        return learner.own.get_buffer("weight")[batch.label]


def reset(linear: nn.Linear, generator: Generator) -> None:
    """Initialise a linear layer again, on any device.

    Args:
        generator: on the CPU.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(int(torch.randint(1 << 62, (), generator=generator)))
        fresh = nn.Linear(linear.in_features, linear.out_features, bias=linear.bias is not None)
    linear.load_state_dict(fresh.state_dict())
