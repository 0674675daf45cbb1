"""The training loop. It knows no method by name and no metric but its own."""

import functools
import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bgbias.components import Count, NonNegative, Positive, component
from bgbias.data.dataset import Dataset
from bgbias.errors import DataError, SettingError
from bgbias.methods.method import Method
from bgbias.metrics import IMAGES_PER_SECOND, chosen, train_loss
from bgbias.models.model import Model
from bgbias.randomness import derive, stream
from bgbias.types import Batch


@component
class Training:
    """How any method is optimised.

    epochs: >= 1
    batch_size: images, >= 1; an epoch's last batch may be smaller
    optimizer: `adam`, or `sgd` with momentum 0.9
    learning_rate: > 0, at the start
    schedule: `constant`; `cosine` down to 0 over all epochs, one step an epoch; or `steps`, times 0.1 after each
        quarter of the epochs
    weight_decay: >= 0
    precision: `float32`, or `bfloat16` for the matrix products of training and evaluation
    channels_last: whether pictures and weights lie in memory pixel by pixel instead of plane by plane
    compile: whether torch.compile fuses the module; not for methods that differentiate twice

    The reproduced schedule on ImageNet-9 is sgd, 0.1, steps, weight decay 1e-4, 200 epochs.
    """

    epochs: Count = 10
    batch_size: Count = 64
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: Positive = 1e-3
    schedule: Literal["constant", "cosine", "steps"] = "constant"
    weight_decay: NonNegative = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False
    compile: bool = False

    def learning_rate_at(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "steps":
            return self.learning_rate * 0.1 ** (4 * epoch // self.epochs)
        return self.learning_rate * (1 + math.cos(math.pi * epoch / self.epochs)) / 2

    def make_optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """A fresh optimiser over the module's parameters that are not frozen."""
        shared: dict[str, Any] = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if self.optimizer == "adam":
            return torch.optim.Adam(learning, **shared)
        return torch.optim.SGD(learning, momentum=0.9, **shared)

    def arithmetic(self, device: torch.device) -> torch.autocast:
        """The precision to compute in, as a context."""
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.precision == "bfloat16")

    def place(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module on the device, laid out and compiled as asked."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        placed: nn.Module = module.to(device).to(memory_format=layout)
        if self.compile:
            placed.compile()
        return placed


def choose_device(name: str = "auto") -> torch.device:
    """`cpu`, `cuda` (or `cuda:1`), or `auto`: a GPU where there is one.

    Raises:
        SettingError: the device is unknown or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise SettingError(f"device must be auto, cpu, cuda or cuda:<number>, but got '{name}'")
    device, gpus = torch.device(name), torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise SettingError(f"device '{name}' is not available: {gpus or 'no'} GPUs were found; use cpu or auto")
    return device


class Trainer:
    """One run: a method trains a model on a dataset.

    All randomness of an epoch is drawn from (seed, epoch), so the module, the optimiser and the epoch's
    number are all the state there is.
    """

    def __init__(
        self,
        method: Method,
        model: Model,
        dataset: Dataset,
        training: Training,
        seed: int,
        device: torch.device,
        foundation: Callable[[], Mapping[str, Tensor]] | None = None,
    ) -> None:
        """
        Args:
            foundation: gives the weights that the classifier has before the first epoch.
        """
        self.method, self.training, self.seed, self.device = method, training, seed, device
        self.dataset = method.prepare(dataset, stream(seed, "prepare")).to(device)
        if not len(self.dataset.train):
            raise DataError(f"{dataset.name} has no training pictures here: it can only be evaluated on")
        self._classifier, module = build_parts(method, model, dataset, seed, pretrained=True)
        self.module = training.place(module, device)
        self.optimizer = training.make_optimizer(self.module)
        self.epoch = 0
        self._foundation = foundation

    @functools.cached_property
    def encoded(self) -> Dataset:
        """The dataset as the module's trainable part sees it; made when it is first needed.

        A run that goes on after its first epoch has its module's weights already.
        """
        if self._foundation is not None and self.epoch == 0:
            self._classifier.load_state_dict(self._foundation())
        with self.training.arithmetic(self.device):
            return self.method.encode(self.module, self.dataset, stream(self.seed, "encode"))

    def train_epoch(self) -> dict[str, float]:
        """Train on every example once, in random order.

        Returns:
            `train/loss/<term>`: the mean over the epoch's examples; `train/images_per_second`.
        """
        n = len(self.encoded.train)
        order = torch.randperm(n, generator=stream(self.seed, "order", self.epoch)).to(self.device)
        draws = stream(self.seed, "draws", self.epoch, self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self.training.learning_rate_at(self.epoch)
        totals: dict[str, Tensor] = {}
        self.method.begin_epoch(self.module, self.epoch, self.training.epochs)
        self.module.train()
        started = time.perf_counter()
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(derive(self.seed, "module", self.epoch))
            for index in order.split(self.training.batch_size):
                for term, value in self.step(index, draws).items():
                    totals[term] = totals.get(term, torch.zeros((), device=self.device)) + value * len(index)
        losses = {train_loss(term): total.item() / n for term, total in totals.items()}
        seconds = time.perf_counter() - started
        self.epoch += 1
        return {**losses, IMAGES_PER_SECOND: n / seconds}

    def calibrate(self) -> dict[str, float]:
        """Choose on validation data what predicting needs: `val/chosen/<what>`."""
        with self.training.arithmetic(self.device):
            made = self.method.calibrate(self.module, self.encoded.validation)
        return {chosen(what): value for what, value in made.items()}

    def step(self, index: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        """Train on the examples at `index` ([B] int64); the detached terms of the loss."""
        batch = self.batch(index, draws)
        with self.training.arithmetic(self.device):
            terms = self.method.loss(self.module, batch, draws)
        self.optimizer.zero_grad()
        learning = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        torch.stack(list(terms.values())).sum().backward(inputs=learning)
        self.optimizer.step()
        return {term: value.detach() for term, value in terms.items()}

    def batch(self, index: Tensor, draws: torch.Generator) -> Batch:
        """The training examples at `index` ([B] int64), as the method has them."""
        train = self.encoded.train
        background = self.method.assign(train.assignment[index], train.backgrounds, draws)
        return self.method.augment(self.encoded.training_batch(index, background, draws), draws)

    def state(self) -> dict[str, Any]:
        """What a later `load_state` needs beside the module's weights."""
        return {"epoch": self.epoch, "optimizer": self.optimizer.state_dict()}

    def load_state(self, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Go on as if never stopped: to the bit on a CPU."""
        self.module.load_state_dict(weights)
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]


def build_module(method: Method, model: Model, dataset: Dataset, seed: int, *, pretrained: bool = False) -> nn.Module:
    """The freshly initialised module that the method trains, a function of its arguments alone.

    pretrained: whether a model whose weights come from elsewhere fetches them
    """
    return build_parts(method, model, dataset, seed, pretrained=pretrained)[1]


def build_parts(
    method: Method, model: Model, dataset: Dataset, seed: int, *, pretrained: bool
) -> tuple[nn.Module, nn.Module]:
    """`build_module`, with the classifier that it was built around before it."""
    with torch.random.fork_rng([]):
        torch.manual_seed(derive(seed, "initialisation"))
        classifier = model.build(dataset.image_shape, len(dataset.classes))
        if pretrained:
            model.initialise(classifier)
        return classifier, method.build(classifier)
