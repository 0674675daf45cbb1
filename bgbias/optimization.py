"""How any method is optimised: the settings of a run's training."""

import math
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import torch
from torch import nn
from torch.optim import Optimizer

from bgbias.components import Count, NonNegative, Positive, component

M = TypeVar("M", bound=nn.Module)


@component
class Training:
    """How any method is optimised.

    epochs: >= 1
    batch_size: images, >= 1; an epoch's last batch may be smaller
    shuffle: whether each epoch has the examples in a new random order; else in the dataset's own, always
    optimizer: `adam`, `adamw`, or `sgd` with momentum 0.9
    learning_rate: > 0, at the start
    schedule: `constant`; `cosine` down to 0 over all epochs, one step an epoch; or `steps`, times 0.1 after each
        quarter of the epochs. It multiplies every parameter group's own initial rate, and begins anew where a method
        restarts
    weight_decay: >= 0; with `adamw` apart from the gradient, else added to it
    precision: `float32`, or `bfloat16` for the matrix products of training and evaluation
    channels_last: whether pictures and weights lie in memory pixel by pixel instead of plane by plane
    compile: whether torch.compile fuses the classifier's body; not for methods that differentiate twice

    The reproduced schedule on ImageNet-9 is sgd, 0.1, steps, weight decay 1e-4, 200 epochs.
    """

    epochs: Count = 10
    batch_size: Count = 64
    shuffle: bool = True
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Positive = 1e-3
    schedule: Literal["constant", "cosine", "steps"] = "constant"
    weight_decay: NonNegative = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False
    compile: bool = False

    def rate_factor(self, epoch: int, epochs: int) -> float:
        """The learning rate of an epoch, counted from 0, as a multiple of the initial one."""
        if self.schedule == "constant":
            return 1.0
        if self.schedule == "steps":
            return float(0.1 ** (4 * epoch // epochs))
        return (1 + math.cos(math.pi * epoch / epochs)) / 2

    def make_optimizer(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """A fresh optimiser over those of the parameters that are not frozen."""
        shared: dict[str, Any] = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        if self.optimizer == "sgd":
            return torch.optim.SGD(learning, momentum=0.9, **shared)
        adam = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
        return adam(learning, **shared)

    def arithmetic(self, device: torch.device) -> torch.autocast:
        """The precision to compute in, as a context."""
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.precision == "bfloat16")

    def place(self, learner: M, device: torch.device) -> M:
        """The learner on the device, laid out and compiled as set."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        placed: M = learner.to(device).to(memory_format=layout)
        if self.compile:
            placed.get_submodule("classifier.body").compile()
        return placed
