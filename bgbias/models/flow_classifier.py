"""A frozen backbone, an embedding of its features, a flow that moves embeddings over backgrounds, and a classifier."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from bgbias.errors import SettingError


class FlowClassifier(nn.Module):
    """
    backbone: frozen, from images [B, C, H, W] to logits [B, K]; its features are what its last linear layer is given
    embedding: two linear layers from standardised features [B, F] to standardised embeddings [B, E]
    flow: p(embedding of the object on a background of a class - own embedding | own embedding, class)
    classifier: from embeddings to logits [B, K]
    samples: int64, how many samples a prediction draws; 0 answers from the own embedding
    """

    samples: Tensor

    def __init__(self, backbone: nn.Module, width: int, hidden: int, flow: nn.Module) -> None:
        """
        Args:
            width: E >= 2; hidden: units of the embedding's first layer; flow: of `build_flow`, told E + K numbers.

        Raises:
            SettingError: the backbone has no linear layer.
        """
        super().__init__()
        last = last_linear(backbone)
        self.classes = last.out_features
        self.backbone = backbone.requires_grad_(False).eval()
        self.embedding = nn.Sequential(
            nn.BatchNorm1d(last.in_features, affine=False),
            nn.Linear(last.in_features, hidden),
            nn.ReLU(),
            nn.Linear(hidden, width),
            nn.BatchNorm1d(width, affine=False),
        )
        self.flow: Any = flow
        self.classifier = nn.Linear(width, self.classes)
        self.embedding_frozen = False
        self.register_buffer("samples", torch.zeros((), dtype=torch.int64))

    def train(self, mode: bool = True) -> "FlowClassifier":
        """What is frozen keeps its statistics."""
        super().train(mode)
        self.backbone.eval()
        if self.embedding_frozen:
            self.embedding.eval()
        return self

    def freeze_embedding(self, frozen: bool) -> None:
        """Whether the embedding stays as it is."""
        self.embedding_frozen = frozen
        self.embedding.requires_grad_(not frozen)

    def features(self, image: Tensor) -> Tensor:
        """[B, F] of images [B, C, H, W]; features pass as they are."""
        return image if image.ndim == 2 else features_and_logits(self.backbone, image)[0]

    def embed(self, image: Tensor) -> Tensor:
        """Embeddings [B, E] of images, or of their features."""
        found: Tensor = self.embedding(self.features(image))
        return found

    def logits(self, embedding: Tensor) -> Tensor:
        """Logits [N, K] of embeddings [N, E]."""
        found: Tensor = self.classifier(embedding)
        return found

    def own_logits(self, image: Tensor) -> Tensor:
        """Logits [B, K] of images, or of their features, from their own embeddings alone."""
        return self.logits(self.embed(image))

    def log_density(self, own: Tensor, moved: Tensor, background_class: Tensor) -> Tensor:
        """The log-density in nats, [N], of embeddings [N, E] on backgrounds of a class [N], given the own [N, E]."""
        found: Tensor = self.flow.log_prob(moved - own, context=self.context(own, background_class))
        return found

    def moved(self, own: Tensor, noise: Tensor, background_class: Tensor) -> Tensor:
        """The embeddings [N, E] that standard normal noise [N, E] stands for on backgrounds of a class [N].

        Their gradient reaches the own embeddings but not the flow, which learns from densities alone: a vote would
        bend it to what is answered rightly, away from where embeddings really go.
        """
        fixed = {name: parameter.detach() for name, parameter in self.flow.named_parameters()}
        told = {"context": self.context(own, background_class)}
        shift: Tensor = functional_call(self.flow, fixed, (noise,), told)
        return own + shift

    def noise(self, own: Tensor, moved: Tensor, background_class: Tensor) -> Tensor:
        """`moved` undone: the noise [N, E] of embeddings [N, E]."""
        found: Tensor = self.flow.inverse(moved - own, context=self.context(own, background_class))
        return found

    def context(self, own: Tensor, background_class: Tensor) -> Tensor:
        """What the flow is told: [N, E + K]."""
        return torch.cat([own, F.one_hot(background_class, self.classes).to(own.dtype)], dim=1)


def last_linear(module: nn.Module) -> nn.Linear:
    """The last linear layer of a classifier.

    Raises:
        SettingError: it has none.
    """
    found = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    if not found:
        raise SettingError("a backbone must end in a linear layer, but this model has none: choose another model")
    return found[-1]


def features_and_logits(backbone: nn.Module, image: Tensor) -> tuple[Tensor, Tensor]:
    """What a classifier's last linear layer is given, [B, F], and what the classifier answers, [B, K]."""
    seen: list[Tensor] = []
    handle = last_linear(backbone).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        logits = backbone(image)
    finally:
        handle.remove()
    return seen[0].flatten(1).float(), logits
