"""The base of models that come from another package, with the pictures' normalisation as their first layer."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgbias.components import component
from bgbias.data.photographs.imagenet9_classes import IMAGENET_CLASSES
from bgbias.errors import SettingError
from bgbias.models.class_map import ClassScores, imagenet9_map
from bgbias.models.model import Classifier, Model
from bgbias.models.weights import file_checksum, load_fitting, read_weights, tensors_checksum
from bgbias.types import Task

Channels = tuple[float, ...]
"""One number for each colour channel, in units of full brightness."""


@dataclass(frozen=True)
class Network:
    """An architecture of another package.

    body: from normalised images to features, with `Taken` where the last linear layer was
    head: from features to scores
    mean, std: of each colour channel
    size: pixels, the side that pictures are scaled to first; None leaves them as they are
    """

    body: nn.Module
    head: nn.Module
    mean: Channels
    std: Channels
    size: int | None = None


@component
class Backbone(Model, ABC):
    """A classifier of another package, trained from scratch or from given weights.

    architecture: its name in the package
    weights: None starts from scratch; a word that the model names downloads the package's own; else a .safetensors or
        .pt file that holds weights alone under the architecture's own names. A last layer of another size or of none
        starts from scratch
    scores: `classes` gives every class of the dataset an output of its own; `imagenet` keeps ImageNet's 1,000 and
        scores them through the map to ImageNet-9's nine, for models trained elsewhere
    head: how a last layer that starts from scratch begins: at `random`, as the package has it, or at `zero`, so that
        fine-tuning does not disturb the features before the head has learned
    """

    architecture: str
    weights: str | None = None
    scores: Literal["classes", "imagenet"] = "classes"
    head: Literal["random", "zero"] = "random"

    @abstractmethod
    def network(self, task: Task, outputs: int) -> Network:
        """Build the architecture for images of the task's shape, newly initialised.

        Raises:
            SettingError: the architecture has no form for these images, or no last linear layer to train.
        """

    @abstractmethod
    def remote(self) -> Mapping[str, Tensor] | None:
        """The package's own weights by name, if `weights` asks for these; None if it names a file.

        Raises:
            DataError: they cannot be fetched.
        """

    def adapted(self, weights: Mapping[str, Tensor], network: nn.Module) -> Mapping[str, Tensor]:
        """Weights of a file, under the names and in the shapes that the network has."""
        return weights

    def build(self, task: Task) -> Classifier:
        if self.scores == "imagenet":
            scores = ClassScores(imagenet9_map(task.classes), len(task.classes))
            made = self.network(task, IMAGENET_CLASSES)
            head: nn.Module = nn.Sequential(made.head, scores)
        else:
            made = self.network(task, len(task.classes))
            head = made.head
            if self.head == "zero":
                for parameter in head.parameters():
                    nn.init.zeros_(parameter)
        layers = OrderedDict[str, nn.Module](normalise=Normalise(made.mean, made.std), network=made.body)
        if made.size is not None:
            layers["scale"] = Resize(made.size)
            layers.move_to_end("scale", last=False)
        return Classifier(nn.Sequential(layers), head)

    def initialise(self, classifier: Classifier, *, whole_network: bool = False) -> None:
        if self.weights is None:
            if whole_network:
                raise SettingError(
                    "a model that was trained elsewhere has weights, but model/weights is none: set model/weights"
                )
            return
        head = classifier.head[0] if isinstance(classifier.head, nn.Sequential) else classifier.head
        with whole(classifier.body.get_submodule("network"), head) as network:
            weights = self.remote()
            if weights is None:
                weights = self.adapted(read_weights(Path(self.weights)), network)
            load_fitting(network, weights, head, self.weights, self.architecture, all_layers=whole_network)

    def checksum(self) -> str | None:
        if self.weights is None:
            return None
        weights = self.remote()
        return file_checksum(Path(self.weights)) if weights is None else tensors_checksum(weights)


class Taken(nn.Identity):
    """Stands in a network where its head was."""


def take(network: nn.Module, head: nn.Module) -> None:
    """Put `Taken` in the place of one of the network's layers."""
    name = next(name for name, layer in network.named_modules() if layer is head)
    network.set_submodule(name, Taken())


@contextmanager
def whole(network: nn.Module, head: nn.Module) -> Iterator[nn.Module]:
    """The network with its head in its place again, under the architecture's own names."""
    places = [name for name, layer in network.named_modules() if isinstance(layer, Taken)]
    for name in places:
        network.set_submodule(name, head)
    try:
        yield network
    finally:
        for name in places:
            network.set_submodule(name, Taken())


class Resize(nn.Module):
    """Resizes pictures to `size` x `size` pixels, bilinearly and without aliasing."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, image: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, size, size]."""
        side = (self.size, self.size)
        if image.shape[2:] == side:
            return image
        return F.interpolate(image, size=side, mode="bilinear", antialias=True, align_corners=False)

    def extra_repr(self) -> str:
        return f"size={self.size}"


class Normalise(nn.Module):
    """(image - mean) / std per channel; grey pictures count as colour ones with three equal channels."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Channels, std: Channels) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, image: Tensor) -> Tensor:
        """[B, 1 or 3, H, W] to [B, 3, H, W]."""
        return (image - self.mean) / self.std
