"""The flow method's module: an embedding of frozen features, a flow over its moves, and a linear classifier."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

MOMENTUM, SMALLEST_VARIANCE = 0.05, 1e-8
"""The weight of a new batch in the running statistics, and a constant added to every dimension's variance."""


P = ParamSpec("P")
R = TypeVar("R")


def float32(work: Callable[P, R]) -> Callable[P, R]:
    """Run a function without autocast: moves are small differences of embeddings."""

    @functools.wraps(work)
    def precise(*arguments: P.args, **options: P.kwargs) -> R:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            return work(*arguments, **options)

    return precise


class FlowModule(nn.Module):
    """The parts that the flow method trains beside a frozen classifier.

    embedding: two linear layers from standardised features [B, F] to standardised embeddings [B, E]
    flow: p(move | own embedding, class); a move is the change of the embedding on a background of the class
    classifier: from embeddings to logits [B, K]
    samples: int64, the samples of a prediction; 0 predicts from the own embedding
    embedding_frozen: bool, True if the embedding is frozen
    joint_mean, joint_covariance: running statistics of moves and the flow's context, together [E + E + P]. The flow
        models the whitened residual of a linear regression of the move on its context; untrained, it equals that
        Gaussian, so that even a move a hundred times smaller than an embedding is well scaled
    """

    samples: Tensor
    embedding_frozen: Tensor
    joint_mean: Tensor
    joint_covariance: Tensor

    def __init__(self, features: int, classes: int, places: int, width: int, hidden: int, flow: nn.Module) -> None:
        """Initialise the layers and the running statistics.

        Args:
            features: F, of the classifier's body.
            classes: K.
            places: P, classes of background.
            width: E >= 2, of the embedding.
            hidden: units of the embedding's first layer.
            flow: of `build_flow`, with a context of E + P.
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
        """Set the mode; a frozen embedding keeps its statistics."""
        super().train(mode)
        if self.embedding_frozen:
            self.embedding.eval()
        return self

    def embed(self, features: Tensor) -> Tensor:
        """Compute embeddings [B, E] of features [B, F]."""
        found: Tensor = self.embedding(features).float()
        return found.detach() if self.training and self.embedding_frozen else found

    def logits(self, embedding: Tensor) -> Tensor:
        """Compute logits [N, K] of embeddings [N, E]."""
        found: Tensor = self.classifier(embedding)
        return found

    @float32
    def log_density(self, own: Tensor, moved: Tensor, place: Tensor) -> Tensor:
        """Compute log-densities [N] in nats of embeddings [N, E] on places [N], given the own embeddings [N, E]."""
        move, context = moved - own, self.context(own, place)
        if self.training:
            self._follow(torch.cat([move, context], dim=1).detach().double())
        whitening = self._whitening()
        found: Tensor = self.flow.log_prob(whitening.apply(move, context), context=context)
        return found - whitening.factor.diagonal().log().sum()

    def _follow(self, joint: Tensor) -> None:
        """Update the running statistics with a batch of moves and contexts: [N, E + E + P] float64."""
        self.joint_mean.lerp_(joint.mean(dim=0), MOMENTUM)
        self.joint_covariance.lerp_(torch.cov(joint.T), MOMENTUM)

    def _whitening(self) -> "Whitening":
        width = self.classifier.in_features
        return Whitening.of(self.joint_mean, self.joint_covariance, width)

    @float32
    def moved(self, own: Tensor, noise: Tensor, place: Tensor, *, fixed_flow: bool = False) -> Tensor:
        """Map standard normal noise to embeddings on places.

        Args:
            own: [N, E], the own embeddings.
            noise: [N, E].
            place: [N] int64.
            fixed_flow: True to give no gradient to the flow's parameters; the own embeddings always get theirs.

        Returns:
            [N, E].
        """
        parameters = dict(self.flow.named_parameters())
        if fixed_flow:
            parameters = {name: parameter.detach() for name, parameter in parameters.items()}
        context = self.context(own, place)
        residual: Tensor = functional_call(self.flow, parameters, (noise,), {"context": context})
        return own + self._whitening().undo(residual, context)

    @float32
    def noise(self, own: Tensor, moved: Tensor, place: Tensor) -> Tensor:
        """Invert `moved`: compute the noise [N, E] of embeddings [N, E]."""
        context = self.context(own, place)
        found: Tensor = self.flow.inverse(self._whitening().apply(moved - own, context), context=context)
        return found

    def context(self, own: Tensor, place: Tensor) -> Tensor:
        """Concatenate own embeddings [N, E] and one-hot places [N] to the flow's context [N, E + P]."""
        return torch.cat([own, F.one_hot(place, self.places).to(own.dtype)], dim=1)


@dataclass(frozen=True)
class Whitening:
    """The linear model move = offset + slope context + factor residual, with white residuals.

    offset: [E]; slope: [E, C]; factor: [E, E], lower triangular
    """

    offset: Tensor
    slope: Tensor
    factor: Tensor

    @classmethod
    def of(cls, mean: Tensor, covariance: Tensor, width: int) -> "Whitening":
        """Fit the model to the joint mean [E + C] and covariance of moves and contexts, both float64; E = `width`."""
        floor = SMALLEST_VARIANCE * torch.eye(len(mean)).to(mean)
        joint = covariance + floor
        move, mixed, context = joint[:width, :width], joint[:width, width:], joint[width:, width:]
        slope = torch.linalg.solve(context, mixed.T).T
        factor = torch.linalg.cholesky(move - slope @ mixed.T)
        offset = mean[:width] - slope @ mean[width:]
        return cls(offset.float(), slope.float(), factor.float())

    def apply(self, move: Tensor, context: Tensor) -> Tensor:
        """Compute the white residuals [N, E] of moves [N, E] given contexts [N, C]."""
        colored = move - self.offset - context @ self.slope.T
        residual: Tensor = torch.linalg.solve_triangular(self.factor, colored.T, upper=False).T
        return residual

    def undo(self, residual: Tensor, context: Tensor) -> Tensor:
        """Compute the moves [N, E] of white residuals [N, E] given contexts [N, C]."""
        return self.offset + context @ self.slope.T + residual @ self.factor.T
