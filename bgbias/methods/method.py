"""The hooks of a method. A method overrides the one where its idea lives; as it stands, this is ERM."""

import torch.nn.functional as F
from torch import Generator, Tensor, nn

from bgbias.components import Component
from bgbias.data.dataset import Dataset
from bgbias.types import Backgrounds, Batch

CROSS_ENTROPY = "cross_entropy"


class Method(Component):
    """A way to train. Its fields are its hyper-parameters; what it learns lives in the module it builds."""

    def prepare(self, dataset: Dataset, generator: Generator) -> Dataset:  # noqa: ARG002
        """Once, before training: the dataset to train on and be judged on."""
        return dataset

    def build(self, classifier: nn.Module) -> nn.Module:
        """Once: what is trained, given a classifier from images [B, C, H, W] to logits [B, K]."""
        return classifier

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
