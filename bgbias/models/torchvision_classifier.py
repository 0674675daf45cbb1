"""Any classifier of torchvision by its name, with the pictures' normalisation as its first layer."""

import pickle
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.error import URLError

import torch
from pydantic import field_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bgbias.components import component
from bgbias.data.photographs.imagenet9_classes import CLASS_OF_IMAGENET, CLASSES
from bgbias.errors import DataError
from bgbias.models.model import Classifier, Model
from bgbias.types import Task

IMAGENET9_STATISTICS = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)
IMAGENET_STATISTICS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DOWNLOAD = "imagenet"
SEVERAL_OUTPUTS = frozenset({"googlenet", "inception_v3"})
"""Architectures that give more than one row of logits per picture in training."""


@component
class TorchvisionClassifier(Model):
    """
    architecture: a classifier of torchvision, such as resnet18, resnet50 or convnext_tiny
    weights: None starts from scratch; `imagenet` downloads torchvision's; else a .safetensors or .pt file that holds
        weights alone under the architecture's own names. A last layer of another size starts from scratch
    scores: `classes` gives every class of the dataset an output of its own; `imagenet` keeps ImageNet's 1,000 and
        scores them through the map to ImageNet-9's nine, for models trained elsewhere

    Normalisation is the first layer: ImageNet-9's statistics (K. Xiao et al., 2020) from scratch, ImageNet's with
    weights. On 224 x 224 RGB 1814 million multiply-adds, as resnet18.
    """

    architecture: str = "resnet18"
    weights: str | None = None
    scores: Literal["classes", "imagenet"] = "classes"

    @field_validator("architecture")
    @classmethod
    def _known(cls, name: str) -> str:
        from torchvision import models

        if name not in set(models.list_models(models)) - SEVERAL_OUTPUTS:
            raise ValueError("must be a classifier of torchvision.models, such as resnet18 or resnet50")
        return name

    def build(self, task: Task) -> Classifier:
        outputs = len(CLASS_OF_IMAGENET) if self.scores == "imagenet" else len(task.classes)
        statistics = IMAGENET9_STATISTICS if self.weights is None else IMAGENET_STATISTICS
        from torchvision.models import get_model

        network = get_model(self.architecture, num_classes=outputs)
        head = take_head(network)
        if self.scores == "imagenet":
            head = nn.Sequential(head, ImageNet9Scores())
        return Classifier(nn.Sequential(OrderedDict(normalise=Normalise(*statistics), network=network)), head)

    def initialise(self, classifier: Classifier) -> None:
        if self.weights is None:
            return
        weights = downloaded(self.architecture) if self.weights == DOWNLOAD else read_weights(Path(self.weights))
        head = classifier.head[0] if isinstance(classifier.head, nn.Sequential) else classifier.head
        with whole(classifier.body.get_submodule("network"), head) as network:
            load_fitting(network, weights, self.weights)


class Taken(nn.Identity):
    """Stands in a network where its head was."""


def take_head(network: nn.Module) -> nn.Module:
    """The last linear layer of a network, which then gives what that layer was given.

    A network without one (SqueezeNet) stays as it is, and the identity is its head.
    """
    linear = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not linear:
        return nn.Identity()
    name, head = linear[-1]
    network.set_submodule(name, Taken())
    return head


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


class Normalise(nn.Module):
    """(image - mean) / std per channel; grey pictures count as colour ones with three equal channels."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, image: Tensor) -> Tensor:
        """[B, 1 or 3, H, W] to [B, 3, H, W]."""
        return (image - self.mean) / self.std


class ImageNet9Scores(nn.Module):
    """ImageNet's 1,000 scores as those of ImageNet-9's nine classes and, at the end, of everything else.

    Each is the highest of its members, so the answer is the class of the highest of all; an answer outside the nine
    is the tenth, which is never right. Source: the map of K. Xiao et al., 2020.
    """

    member: Tensor

    def __init__(self) -> None:
        super().__init__()
        of_index = torch.tensor(CLASS_OF_IMAGENET)
        group = torch.arange(len(CLASSES) + 1)[:, None]
        self.register_buffer("member", torch.where(of_index < 0, len(CLASSES), of_index) == group, persistent=False)

    def forward(self, score: Tensor) -> Tensor:
        """[B, 1000] to [B, 10]."""
        return score[:, None, :].masked_fill(~self.member, -torch.inf).amax(dim=2)


def downloaded(architecture: str) -> dict[str, Tensor]:
    """Torchvision's default ImageNet weights, from its cache or its site; nothing is unpickled but tensors.

    Raises:
        DataError: they cannot be fetched.
    """
    from torchvision.models import get_model_weights

    entry = get_model_weights(architecture).DEFAULT
    try:
        found: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            entry.url, progress=False, check_hash=True, weights_only=True, map_location="cpu"
        )
    except (URLError, OSError, RuntimeError) as error:
        raise DataError(
            f"weights of {architecture} could not be fetched from {entry.url} ({error}): "
            "fetch the file elsewhere and give its path as model/weights"
        ) from None
    return found


def read_weights(file: Path) -> dict[str, Tensor]:
    """A file of weights alone; nothing is unpickled but tensors.

    Raises:
        DataError: it is missing or holds something else.
    """
    try:
        found = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(f"weights {file} cannot be read ({error}): give a .safetensors or .pt file") from None
    found = found.get("state_dict", found) if isinstance(found, dict) else {}
    if not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise DataError(f"{file} holds no weights by name: give a file that holds a model's state_dict alone")
    return {name.removeprefix("module."): value for name, value in found.items()}


def load_fitting(module: nn.Module, weights: dict[str, Tensor], where: str) -> None:
    """Load all weights but those of a last layer of another size.

    Raises:
        DataError: names are missing, unknown, or other layers' sizes differ.
    """
    own = module.state_dict()
    last = {name for name in list(own)[-2:] if name in weights and weights[name].shape != own[name].shape}
    try:
        module.load_state_dict({**weights, **{name: own[name] for name in last}})
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise DataError(f"weights {where} do not fit the architecture ({reason}): set model/architecture") from None
