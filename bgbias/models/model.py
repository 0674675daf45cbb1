"""The base class of models, and the classifier that a model builds."""

from torch import Tensor, nn

from bgbias.components import Component
from bgbias.errors import SettingError
from bgbias.models.passes import Passes
from bgbias.types import Task


class Classifier(nn.Module):
    """A body from images [B, C, H, W] to features [B, F], and a head from features to logits [B, K].

    passes: what went through the body
    """

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head, self.passes = body, head, Passes()

    def features(self, image: Tensor) -> Tensor:
        """[B, F] of images [B, C, H, W]; features pass as they are."""
        if image.ndim == 2:
            return image
        found: Tensor = self.body(image)
        self.passes.through(found)
        return found.flatten(1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B, K] of images [B, C, H, W], or of their features [B, F]."""
        logits: Tensor = self.head(self.features(image))
        return logits

    @property
    def linear(self) -> nn.Linear:
        """The last linear layer, which is given the features.

        Raises:
            SettingError: the head has none.
        """
        found = [layer for layer in self.head.modules() if isinstance(layer, nn.Linear)]
        if not found:
            raise SettingError("a backbone must end in a linear layer, but this model has none: choose another model")
        return found[0]


class Model(Component):
    """Options of an architecture, and how to build it."""

    def build(self, task: Task) -> Classifier:
        """A freshly initialised classifier from images of the task's shape to one logit for each of its classes."""
        raise NotImplementedError

    def initialise(self, classifier: Classifier, *, whole_network: bool = False) -> None:
        """Put weights that were trained elsewhere into a classifier that `build` made; most models have none.

        Args:
            whole_network: whether the last layer must be among them, as in a model that is not trained further.

        Raises:
            DataError: they cannot be had or do not fit.
            SettingError: the whole network's are asked for, and there are none.
        """
        if whole_network:
            raise SettingError(
                f"a model that was trained elsewhere is one of timm or torchvision, but model/name is {self.name()}: "
                "set model/name=timm or torchvision_classifier"
            )

    def checksum(self) -> str | None:
        """The SHA-256 of the weights that `initialise` puts in, in hexadecimal; None where there are none.

        Raises:
            DataError: they cannot be had.
        """
        return None
