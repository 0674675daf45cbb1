"""Any classifier of timm by its name, with its own normalisation, input size and pooling."""

import functools
import sys
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator
from torch import Tensor, nn

from bgbias.components import component
from bgbias.errors import DataError, SettingError
from bgbias.models.backbone import Backbone, Channels, Network, take
from bgbias.types import Task

HUB = "hub"
CHANNELS = 3


def checked_channels(value: Any) -> Any:
    """One number, or three with commas between, as text."""
    parts = [float(part) for part in str(value).split(",")]
    if len(parts) not in (1, CHANNELS):
        raise ValueError("must be one number, or three with commas between")
    return str(value)


Numbers = Annotated[str, BeforeValidator(checked_channels)]
"""A number for all colour channels, or one for each, as text such as `0.485,0.456,0.406`."""


@component
class Timm(Backbone):
    """A classifier of timm by its name.

    architecture: a classifier of timm, such as resnet50, convnext_tiny, vit_small_patch16_224 or tf_efficientnet_lite0.
        One that is made for pictures of a fixed size is built for the dataset's, and its weights are fitted to that
    weights: None starts from scratch; `hub` downloads timm's own; else a .safetensors or .pt file that holds weights
        alone under timm's names. A last layer of another size or of none starts from scratch
    scores: `classes` gives every class of the dataset an output of its own; `imagenet` keeps ImageNet's 1,000 and
        scores them through the map to ImageNet-9's nine, for models trained elsewhere
    head: how a last layer that starts from scratch begins: at `random`, as the package has it, or at `zero`, so that
        fine-tuning does not disturb the features before the head has learned
    size: pixels, the side that pictures are scaled to before the network; None leaves them as the dataset has them
    mean, std: of the colour channels, in units of full brightness, one number or three with commas between; None takes
        what timm names for the architecture. Inputs are (picture - mean) / std
    pooling: of the last feature map, such as avg, max, avgmax or token; None takes the architecture's own

    Of timm 1.0.31's 1,371 names 1,226 end in one linear layer and can be trained here; the others are refused. Grey
    pictures count as colour ones. On 224 x 224 RGB 386 million multiply-adds, as tf_efficientnet_lite0.

    Source: R. Wightman, "PyTorch Image Models", https://github.com/huggingface/pytorch-image-models
    """

    architecture: str = "tf_efficientnet_lite0"
    size: Annotated[int, Field(ge=1)] | None = None
    mean: Numbers | None = None
    std: Numbers | None = None
    pooling: str | None = None

    @field_validator("architecture")
    @classmethod
    def _known(cls, name: str) -> str:
        import timm

        if not timm.is_model(name):
            close = timm.list_models(f"*{name.partition('_')[0]}*")[:3] or ["resnet50", "convnext_tiny"]
            raise ValueError(f"must be a classifier of timm, such as {', '.join(close)}")
        return name

    @field_validator("std")
    @classmethod
    def _positive(cls, std: str | None) -> str | None:
        if std is not None and min(channels(std)) <= 0:
            raise ValueError("must be above 0")
        return std

    def network(self, task: Task, outputs: int) -> Network:
        import timm

        known = timm.get_pretrained_cfg(self.architecture)
        height, width = (self.size, self.size) if self.size else task.image_shape[1:]
        options: dict[str, Any] = {"img_size": (height, width)} if known is not None and known.fixed_input_size else {}
        if self.pooling is not None:
            options["global_pool"] = self.pooling
        try:
            body = timm.create_model(self.architecture, pretrained=False, num_classes=outputs, **options)
        except (AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise SettingError(
                f"timm cannot build {self.architecture} for pictures of {height} x {width} with {options} ({error}): "
                "set model/size or model/pooling, or choose another model/architecture"
            ) from None
        head = body.get_classifier() if hasattr(body, "get_classifier") else None
        if not isinstance(head, nn.Linear):
            raise SettingError(
                f"a backbone must end in one linear layer, but {self.architecture} of timm ends in "
                f"{type(head).__name__}: choose another model/architecture"
            )
        take(body, head)
        config = body.pretrained_cfg
        mean = channels(self.mean) if self.mean is not None else tuple(config["mean"])
        std = channels(self.std) if self.std is not None else tuple(config["std"])
        return Network(body, head, mean, std, self.size)

    def remote(self) -> Mapping[str, Tensor] | None:
        return downloaded(self.architecture) if self.weights == HUB else None

    def adapted(self, weights: Mapping[str, Tensor], network: nn.Module) -> Mapping[str, Tensor]:
        """Weights in the form that timm gives older files and files for other picture sizes.

        What timm cannot bring into this form stays as it is; loading it then names what differs.
        """
        adapt = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
        try:
            found: Mapping[str, Tensor] = adapt(dict(weights), network) if adapt else weights
        except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, ValueError):
            return weights
        return found


def channels(numbers: str) -> Channels:
    """The numbers of the three colour channels in a checked text."""
    parts = tuple(float(part) for part in numbers.split(","))
    return parts if len(parts) == CHANNELS else parts * CHANNELS


@functools.lru_cache(maxsize=1)
def downloaded(architecture: str) -> dict[str, Tensor]:
    """Timm's own weights of an architecture, from the hub or its cache.

    Raises:
        DataError: there are none, or they cannot be fetched.
    """
    import timm

    try:
        found: dict[str, Tensor] = timm.create_model(architecture, pretrained=True).state_dict()
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"weights of {architecture} could not be fetched from timm's hub ({reason}): fetch the file elsewhere and "
            "give its path as model/weights"
        ) from None
    return found
