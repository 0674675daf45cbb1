"""The hooks of a method. A method overrides the one where its idea lives; as it stands, this is ERM."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Generator, Tensor, nn

from bgbias.components import Component
from bgbias.data.dataset import Dataset, Variant
from bgbias.types import Backgrounds, Batch

CROSS_ENTROPY = "cross_entropy"


@dataclass(frozen=True)
class Foundation:
    """What trains a classifier before a method builds on it.

    source: the name of the method that trains it, or the folder of a checkpoint
    epochs: how many, where a method trains it
    """

    source: str
    epochs: int


class Method(Component):
    """A way to train. Its fields are its hyper-parameters; what it learns lives in the module it builds."""

    def prepare(self, dataset: Dataset, generator: Generator) -> Dataset:  # noqa: ARG002
        """Once, before training: the dataset to train on and be judged on."""
        return dataset

    def build(self, classifier: nn.Module) -> nn.Module:
        """Once: what is trained, given a classifier from images [B, C, H, W] to logits [B, K]."""
        return classifier

    def foundation(self) -> Foundation | None:
        """What trains the classifier that `build` is given; None leaves it as the model makes it."""
        return None

    def encode(self, module: nn.Module, dataset: Dataset, generator: Generator) -> Dataset:  # noqa: ARG002
        """Once, before the first epoch: the dataset as the trainable part of the module sees it."""
        return dataset

    def begin_epoch(self, module: nn.Module, epoch: int, epochs: int) -> None:
        """Before each of so many epochs, counted from 0: freeze or thaw parts of the module."""

    def assign(self, background: Tensor, backgrounds: Backgrounds, generator: Generator) -> Tensor:  # noqa: ARG002
        """Each batch, before it is composed: which background each of its examples stands on, [B] int64."""
        return background

    def augment(self, batch: Batch, generator: Generator) -> Batch:  # noqa: ARG002
        """Each batch: the examples to train on. Returns a new batch, or the one it was handed, unchanged."""
        return batch

    def loss(self, module: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:  # noqa: ARG002
        """Each batch: named scalar terms. The loop minimises their sum; the names become training curves."""
        return {CROSS_ENTROPY: F.cross_entropy(module(batch.image), batch.label)}

    def predict(self, module: nn.Module, image: Tensor) -> Tensor:
        """Logits [B, K] of images [B, C, H, W], for evaluation."""
        logits: Tensor = module(image)
        return logits

    def answers(self, module: nn.Module, image: Tensor) -> tuple[Tensor, Mapping[int, Tensor]]:
        """`predict`'s logits, and those that each number of samples would give; most methods draw none."""
        return self.predict(module, image), {}

    def calibrate(self, module: nn.Module, validation: Mapping[str, Variant]) -> dict[str, float]:  # noqa: ARG002
        """Before each judging: choose on validation data what predicting needs, and keep it in the module.

        Returns:
            What was chosen, by name.
        """
        return {}
