"""An embedding of a frozen classifier's features, a flow that moves embeddings over backgrounds, and a linear layer."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

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


class FlowModule(nn.Module):
    """What the flow method learns beside a frozen classifier.

    embedding: two linear layers from standardised features [B, F] to standardised embeddings [B, E]
    flow: p(move | own embedding, class), a move being what a background of the class adds to the object's embedding
    classifier: from embeddings to logits [B, K]
    samples: int64, how many samples a prediction draws; 0 answers from the own embedding
    embedding_frozen: bool, whether the embedding stays as it is
    joint_mean, joint_covariance: running statistics of moves and the flow's context, together [E + E + P]. The flow
        models the whitened residual of a linear regression of the move on its context; untrained, it equals that
        Gaussian, so that even a move a hundred times smaller than an embedding is well scaled
    """

    samples: Tensor
    embedding_frozen: Tensor
    joint_mean: Tensor
    joint_covariance: Tensor

    def __init__(self, features: int, classes: int, places: int, width: int, hidden: int, flow: nn.Module) -> None:
        """
        Args:
            features: F, of the classifier's body; classes: K; places: P, classes of background.
            width: E >= 2; hidden: units of the embedding's first layer; flow: of `build_flow`, with a context of E + P.
        """
        super().__init__()
        self.places = places
        self.embedding = nn.Sequential(
            nn.BatchNorm1d(features, affine=False),
            nn.Linear(features, hidden),
            nn.ReLU(),
            nn.Linear(hidden, width),
            nn.BatchNorm1d(width, affine=False),
        )
        self.flow: Any = flow
        self.classifier = nn.Linear(width, classes)
        self.register_buffer("samples", torch.zeros((), dtype=torch.int64))
        self.register_buffer("embedding_frozen", torch.zeros((), dtype=torch.bool))
        joint = 2 * width + places
        self.register_buffer("joint_mean", torch.zeros(joint, dtype=torch.float64))
        self.register_buffer("joint_covariance", torch.eye(joint, dtype=torch.float64))

    def train(self, mode: bool = True) -> "FlowModule":
        """A frozen embedding keeps its statistics."""
        super().train(mode)
        if self.embedding_frozen:
            self.embedding.eval()
        return self

    def embed(self, features: Tensor) -> Tensor:
        """Embeddings [B, E] of features [B, F]."""
        found: Tensor = self.embedding(features).float()
        return found.detach() if self.training and self.embedding_frozen else found

    def logits(self, embedding: Tensor) -> Tensor:
        """Logits [N, K] of embeddings [N, E]."""
        found: Tensor = self.classifier(embedding)
        return found

    @float32
    def log_density(self, own: Tensor, moved: Tensor, place: Tensor) -> Tensor:
        """The log-density in nats, [N], of embeddings [N, E] on backgrounds of a class [N], given the own [N, E]."""
        move, context = moved - own, self.context(own, place)
        if self.training:
            self._follow(torch.cat([move, context], dim=1).detach().double())
        whitening = self._whitening()
        found: Tensor = self.flow.log_prob(whitening.apply(move, context), context=context)
        return found - whitening.factor.diagonal().log().sum()

    def _follow(self, joint: Tensor) -> None:
        """Let the running statistics follow the moves of a batch and their contexts: [N, E + E + P] float64."""
        self.joint_mean.lerp_(joint.mean(dim=0), MOMENTUM)
        self.joint_covariance.lerp_(torch.cov(joint.T), MOMENTUM)

    def _whitening(self) -> "Whitening":
        width = self.classifier.in_features
        return Whitening.of(self.joint_mean, self.joint_covariance, width)

    @float32
    def moved(self, own: Tensor, noise: Tensor, place: Tensor, *, fixed_flow: bool = False) -> Tensor:
        """The embeddings [N, E] that standard normal noise [N, E] stands for on backgrounds of a class [N].

        fixed_flow: whether their gradient stops at the flow's parameters; it reaches the own embeddings all the same
        """
        parameters = dict(self.flow.named_parameters())
        if fixed_flow:
            parameters = {name: parameter.detach() for name, parameter in parameters.items()}
        context = self.context(own, place)
        left: Tensor = functional_call(self.flow, parameters, (noise,), {"context": context})
        return own + self._whitening().undo(left, context)

    @float32
    def noise(self, own: Tensor, moved: Tensor, place: Tensor) -> Tensor:
        """`moved` undone: the noise [N, E] of embeddings [N, E]."""
        context = self.context(own, place)
        found: Tensor = self.flow.inverse(self._whitening().apply(moved - own, context), context=context)
        return found

    def context(self, own: Tensor, place: Tensor) -> Tensor:
        """The flow's context: [N, E + P]."""
        return torch.cat([own, F.one_hot(place, self.places).to(own.dtype)], dim=1)


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
