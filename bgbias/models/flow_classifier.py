"""A frozen backbone, an embedding of its features, a flow that moves embeddings over backgrounds, and a classifier."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from bgbias.errors import SettingError

MOMENTUM, SMALLEST_VARIANCE = 0.05, 1e-6
"""How fast the statistics of moves follow, and what is added to every dimension's variance."""


class FlowClassifier(nn.Module):
    """
    backbone: frozen, from images [B, C, H, W] to logits [B, K]; its features are what its last linear layer is given
    embedding: two linear layers from standardised features [B, F] to standardised embeddings [B, E]
    flow: p(move | own embedding, class), a move being what a background of the class adds to the object's embedding
    classifier: from embeddings to logits [B, K]
    samples: int64, how many samples a prediction draws; 0 answers from the own embedding
    move_mean, move_covariance: [E] and [E, E], running statistics of the moves, which the flow is shown whitened
    """

    samples: Tensor
    move_mean: Tensor
    move_covariance: Tensor

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
        self.register_buffer("move_mean", torch.zeros(width))
        self.register_buffer("move_covariance", torch.eye(width))

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
        move = moved - own
        if self.training:
            self._follow(move.detach())
        found: Tensor = self.flow.log_prob(self._whitened(move), context=self.context(own, background_class))
        return found - self._factor().diagonal().log().sum()

    def _follow(self, move: Tensor) -> None:
        """Let the running statistics follow the moves [N, E] of a batch."""
        self.move_mean.lerp_(move.mean(dim=0), MOMENTUM)
        self.move_covariance.lerp_(torch.cov(move.T), MOMENTUM)

    def _factor(self) -> Tensor:
        """The lower triangular square root of the moves' covariance: [E, E]."""
        floor = torch.full_like(self.move_mean, SMALLEST_VARIANCE).diag()
        found: Tensor = torch.linalg.cholesky(self.move_covariance + floor)
        return found

    def _whitened(self, move: Tensor) -> Tensor:
        found: Tensor = torch.linalg.solve_triangular(self._factor(), (move - self.move_mean).T, upper=False).T
        return found

    def moved(self, own: Tensor, noise: Tensor, background_class: Tensor, *, fixed_flow: bool = False) -> Tensor:
        """The embeddings [N, E] that standard normal noise [N, E] stands for on backgrounds of a class [N].

        fixed_flow: whether their gradient stops at the flow's parameters; it reaches the own embeddings all the same
        """
        parameters = dict(self.flow.named_parameters())
        if fixed_flow:
            parameters = {name: parameter.detach() for name, parameter in parameters.items()}
        told = {"context": self.context(own, background_class)}
        standard: Tensor = functional_call(self.flow, parameters, (noise,), told)
        return own + self.move_mean + standard @ self._factor().T

    def noise(self, own: Tensor, moved: Tensor, background_class: Tensor) -> Tensor:
        """`moved` undone: the noise [N, E] of embeddings [N, E]."""
        found: Tensor = self.flow.inverse(self._whitened(moved - own), context=self.context(own, background_class))
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
