"""Any classifier of torchvision by its name, with the pictures' normalisation as its first layer."""

import functools
from collections.abc import Mapping
from urllib.error import URLError

import torch
from pydantic import field_validator
from torch import Tensor, nn

from bgbias.components import component
from bgbias.errors import DataError
from bgbias.models.backbone import Backbone, Network, take
from bgbias.types import Task

IMAGENET9_STATISTICS = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)
IMAGENET_STATISTICS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DOWNLOAD = "imagenet"
SEVERAL_OUTPUTS = frozenset({"googlenet", "inception_v3"})
"""Architectures that give more than one row of logits per picture in training."""


@component
class TorchvisionClassifier(Backbone):
    """A classifier of torchvision by its name.

    architecture: a classifier of torchvision, such as resnet18, resnet50 or convnext_tiny
    weights: None starts from scratch; `imagenet` downloads torchvision's; else a .safetensors or .pt file that holds
        weights alone under the architecture's own names. A last layer of another size or of none starts from scratch
    scores: `classes` gives every class of the dataset an output of its own; `imagenet` keeps ImageNet's 1,000 and
        scores them through the map to ImageNet-9's nine, for models trained elsewhere
    head: how a last layer that starts from scratch begins: at `random`, as the package has it, or at `zero`, so that
        fine-tuning does not disturb the features before the head has learned

    Normalisation is the first layer: ImageNet-9's statistics (K. Xiao et al., 2020) from scratch, ImageNet's with
    weights. On 224 x 224 RGB 1814 million multiply-adds, as resnet18.
    """

    architecture: str = "resnet18"

    @field_validator("architecture")
    @classmethod
    def _known(cls, name: str) -> str:
        from torchvision import models

        if name not in set(models.list_models(models)) - SEVERAL_OUTPUTS:
            raise ValueError("must be a classifier of torchvision.models, such as resnet18 or resnet50")
        return name

    def network(self, task: Task, outputs: int) -> Network:
        from torchvision.models import get_model

        statistics = IMAGENET9_STATISTICS if self.weights is None else IMAGENET_STATISTICS
        body = get_model(self.architecture, num_classes=outputs)
        return Network(body, take_head(body), *statistics)

    def remote(self) -> Mapping[str, Tensor] | None:
        return downloaded(self.architecture) if self.weights == DOWNLOAD else None


def take_head(network: nn.Module) -> nn.Module:
    """The last linear layer of a network, which then gives what that layer was given.

    A network without one (SqueezeNet) stays as it is, and the identity is its head.
    """
    linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    if not linear:
        return nn.Identity()
    take(network, linear[-1])
    return linear[-1]


@functools.lru_cache(maxsize=1)
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
