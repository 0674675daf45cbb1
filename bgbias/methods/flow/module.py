"""A frozen backbone, an embedding of its features, a flow that moves embeddings over backgrounds, and a classifier."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from bgbias.errors import SettingError

MOMENTUM, SMALLEST_VARIANCE = 0.05, 1e-8
"""How fast the running statistics follow, and what is added to every dimension's variance."""


P = ParamSpec("P")
R = TypeVar("R")


def float32(work: Callable[P, R]) -> Callable[P, R]:
    """The same work in full precision whatever surrounds it: moves are small differences of embeddings."""

    @functools.wraps(work)
    def precise(*arguments: P.args, **options: P.kwargs) -> R:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            return work(*arguments, **options)

    return precise


class FlowClassifier(nn.Module):
    """
    backbone: frozen, from images [B, C, H, W] to logits [B, K]; its features are what its last linear layer is given
    embedding: two linear layers from standardised features [B, F] to standardised embeddings [B, E]
    flow: p(move | own embedding, class), a move being what a background of the class adds to the object's embedding
    classifier: from embeddings to logits [B, K]
    samples: int64, how many samples a prediction draws; 0 answers from the own embedding
    joint_mean, joint_covariance: running statistics of moves and what the flow is told, together [E + E + K]. The flow
        is shown what a linear regression on what it is told leaves of a move, whitened, so that it begins as the
        Gaussian that knows as much; even a move a hundred times smaller than an embedding is then plain to see
    """

    samples: Tensor
    joint_mean: Tensor
    joint_covariance: Tensor

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
        told = 2 * width + self.classes
        self.register_buffer("joint_mean", torch.zeros(told, dtype=torch.float64))
        self.register_buffer("joint_covariance", torch.eye(told, dtype=torch.float64))

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
        return found.float()

    def logits(self, embedding: Tensor) -> Tensor:
        """Logits [N, K] of embeddings [N, E]."""
        found: Tensor = self.classifier(embedding)
        return found

    def own_logits(self, image: Tensor) -> Tensor:
        """Logits [B, K] of images, or of their features, from their own embeddings alone."""
        return self.logits(self.embed(image))

    @float32
    def log_density(self, own: Tensor, moved: Tensor, background_class: Tensor) -> Tensor:
        """The log-density in nats, [N], of embeddings [N, E] on backgrounds of a class [N], given the own [N, E]."""
        move, told = moved - own, self.context(own, background_class)
        if self.training:
            self._follow(torch.cat([move, told], dim=1).detach().double())
        whitening = self._whitening()
        found: Tensor = self.flow.log_prob(whitening.apply(move, told), context=told)
        return found - whitening.factor.diagonal().log().sum()

    def _follow(self, joint: Tensor) -> None:
        """Let the running statistics follow the moves of a batch and what is told of them: [N, E + E + K] float64."""
        self.joint_mean.lerp_(joint.mean(dim=0), MOMENTUM)
        self.joint_covariance.lerp_(torch.cov(joint.T), MOMENTUM)

    def _whitening(self) -> "Whitening":
        width = self.classifier.in_features
        return Whitening.of(self.joint_mean, self.joint_covariance, width)

    @float32
    def moved(self, own: Tensor, noise: Tensor, background_class: Tensor, *, fixed_flow: bool = False) -> Tensor:
        """The embeddings [N, E] that standard normal noise [N, E] stands for on backgrounds of a class [N].

        fixed_flow: whether their gradient stops at the flow's parameters; it reaches the own embeddings all the same
        """
        parameters = dict(self.flow.named_parameters())
        if fixed_flow:
            parameters = {name: parameter.detach() for name, parameter in parameters.items()}
        told = self.context(own, background_class)
        left: Tensor = functional_call(self.flow, parameters, (noise,), {"context": told})
        return own + self._whitening().undo(left, told)

    @float32
    def noise(self, own: Tensor, moved: Tensor, background_class: Tensor) -> Tensor:
        """`moved` undone: the noise [N, E] of embeddings [N, E]."""
        told = self.context(own, background_class)
        found: Tensor = self.flow.inverse(self._whitening().apply(moved - own, told), context=told)
        return found

    def context(self, own: Tensor, background_class: Tensor) -> Tensor:
        """What the flow is told: [N, E + K]."""
        return torch.cat([own, F.one_hot(background_class, self.classes).to(own.dtype)], dim=1)


@dataclass(frozen=True)
class Whitening:
    """move = offset + slope context + factor rest, with rests white.

    offset: [E]; slope: [E, C]; factor: [E, E], lower triangular
    """

    offset: Tensor
    slope: Tensor
    factor: Tensor

    @classmethod
    def of(cls, mean: Tensor, covariance: Tensor, width: int) -> "Whitening":
        """From the joint mean [E + C] and covariance of moves and contexts, both float64, with E = width."""
        floor = SMALLEST_VARIANCE * torch.eye(len(mean)).to(mean)
        joint = covariance + floor
        move, mixed, context = joint[:width, :width], joint[:width, width:], joint[width:, width:]
        slope = torch.linalg.solve(context, mixed.T).T
        factor = torch.linalg.cholesky(move - slope @ mixed.T)
        offset = mean[:width] - slope @ mean[width:]
        return cls(offset.float(), slope.float(), factor.float())

    def apply(self, move: Tensor, context: Tensor) -> Tensor:
        """The white rests [N, E] of moves [N, E] given contexts [N, C]."""
        left = move - self.offset - context @ self.slope.T
        found: Tensor = torch.linalg.solve_triangular(self.factor, left.T, upper=False).T
        return found

    def undo(self, rest: Tensor, context: Tensor) -> Tensor:
        """The moves [N, E] of rests [N, E]."""
        return self.offset + context @ self.slope.T + rest @ self.factor.T


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
