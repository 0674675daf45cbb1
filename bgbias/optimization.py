"""Optimisation settings of a run: epochs, batches, optimiser, schedule, frozen bodies, precision."""

import math
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from bgbias.components import Count, NonNegative, Positive, Share, component
from bgbias.precision import Precision, arithmetic

BODY = "classifier.body"
"""The name of a learner's part that turns pictures into features."""

M = TypeVar("M", bound=nn.Module)


@component
class Training:
    """Optimisation settings, the same for every method.

    epochs: >= 1
    batch_size: images, >= 1; an epoch's last batch may be smaller
    shuffle: whether each epoch has the examples in a new random order; otherwise always in the dataset's own order
    optimizer: `adam`, `adamw`, or `sgd` with momentum 0.9
    learning_rate: > 0, at the start
    schedule: `constant`; `cosine` down to 0 over all epochs, one step per epoch; or `steps`, times 0.1 after each
        quarter of the epochs. It multiplies every parameter group's own initial rate, and starts again where a method
        restarts
    body_rate: in [0, 1], the learning rate of the classifier's body as a share of `learning_rate`; the head and the
        method's own parameters use `learning_rate`. At 0 the body is frozen: it stays in evaluation mode, with the
        statistics of batch normalisation
    batch_norm: `batch` normalises training batches by their own mean and variance; `fixed` by those of the loaded
        weights, which stay as they are: better for fine-tuning on few pictures
    feature_views: with a frozen body, the number of augmented views per training picture whose features are computed
        once and drawn from at random; 1 is the picture without augmentation, 0 computes the features of every batch
        again. Methods that need pixels always get pictures
    feature_swaps: >= 1, with a frozen body and a method that replaces backgrounds: the number of backgrounds of each
        place on which an object's features are computed once; they stand for all backgrounds of that place
    weight_decay: >= 0; `adamw` applies it apart from the gradient, the others add it to the gradient
    precision: `float32`, or `bfloat16` for the matrix products of training, and of evaluation unless
        `evaluation/precision` says otherwise
    channels_last: whether pictures and weights lie in memory pixel by pixel instead of plane by plane, which is faster
        for convolutions: on a CPU 1.2 to 1.7 times for small networks
    compile: whether torch.compile fuses the classifier's body; not for methods that differentiate twice
    cuda_graphs: whether a GPU replays a recording of a step, which gives the same numbers, faster for small networks,
        and takes the memory of one more step

    The reproduced schedule on ImageNet-9 is sgd, 0.1, steps, weight decay 1e-4, 200 epochs.
    """

    epochs: Count = 10
    batch_size: Count = 64
    shuffle: bool = True
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Positive = 1e-3
    schedule: Literal["constant", "cosine", "steps"] = "constant"
    body_rate: Share = 1.0
    batch_norm: Literal["batch", "fixed"] = "batch"
    feature_views: Annotated[int, Field(ge=0)] = 1
    feature_swaps: Count = 4
    weight_decay: NonNegative = 0.0
    precision: Precision = "float32"
    channels_last: bool = True
    compile: bool = False
    cuda_graphs: bool = True

    def rate_factor(self, epoch: int, epochs: int) -> float:
        """The learning rate of an epoch, counted from 0, as a multiple of the initial one."""
        if self.schedule == "constant":
            return 1.0
        if self.schedule == "steps":
            return float(0.1 ** (4 * epoch // epochs))
        return (1 + math.cos(math.pi * epoch / epochs)) / 2

    @property
    def is_body_frozen(self) -> bool:
        """True if the classifier's body is not trained."""
        return self.body_rate == 0

    @property
    def uses_features(self) -> bool:
        """True if the features of a frozen body are computed once, not for every batch."""
        return self.is_body_frozen and self.feature_views > 0

    def make_optimizer(self, learner: nn.Module) -> Optimizer:
        """Make an optimiser of a learner's parameters that are not frozen, the body at its own rate.

        It updates each parameter in one pass over memory (`fused`).
        """
        shared: dict[str, Any] = {"lr": self.learning_rate, "weight_decay": self.weight_decay, "fused": True}
        groups = [{"params": parameters, "lr": rate} for parameters, rate in self._rates(learner) if parameters]
        if self.optimizer == "sgd":
            return torch.optim.SGD(groups, momentum=0.9, **shared)
        adam = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
        return adam(groups, **shared)

    def _rates(self, learner: nn.Module) -> list[tuple[list[nn.Parameter], float]]:
        """The parameters that are not frozen, divided by their learning rates."""
        learning = {name: parameter for name, parameter in learner.named_parameters() if parameter.requires_grad}
        own = [name for name in learning if name.startswith(f"{BODY}.")] if self.body_rate < 1 else []
        slow, rest = [learning[name] for name in own], [learning[name] for name in learning if name not in own]
        return [(rest, self.learning_rate), (slow, self.learning_rate * self.body_rate)]

    def set_modes(self, learner: nn.Module) -> None:
        """Put a learner in training mode; a frozen body, or its fixed batch normalisation, in evaluation mode."""
        learner.train()
        body = learner.get_submodule(BODY)
        if self.is_body_frozen:
            body.eval()
        elif self.batch_norm == "fixed":
            for part in filter(lambda layer: isinstance(layer, _BatchNorm), body.modules()):
                part.eval()

    def arithmetic(self, device: torch.device) -> torch.autocast:
        """The precision to train in, as a context."""
        return arithmetic(self.precision, device)

    def place(self, learner: M, device: torch.device) -> M:
        """The learner on the device, laid out and compiled as set."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        placed: M = learner.to(device).to(memory_format=layout)
        if self.is_body_frozen:
            placed.get_submodule(BODY).requires_grad_(False)
        placed.get_submodule(BODY).register_forward_pre_hook(partial(lay_out, layout))
        if self.compile:
            placed.get_submodule(BODY).compile()
        return placed


def lay_out(layout: torch.memory_format, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:  # noqa: ARG001
    """Pictures [B, C, H, W] in a memory layout, brought there once for both passes of a body."""
    return tuple(image.contiguous(memory_format=layout) for image in inputs)
