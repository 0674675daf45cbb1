"""Conditional affine coupling, the family of NICE and RealNVP."""

from typing import Any

import normflows as nf
import torch
from torch import Tensor, nn

from bgbias.components import component
from bgbias.methods.flow.families.family import FlowFamily

MAX_LOG_SCALE = 2.0
"""The largest log-scale of a layer: a factor of e^2, so that no input overflows."""
FINAL_RANGE = 1e-2
"""Range of the last linear layer's initial weights, so that the flow starts near the identity."""


@component
class AffineCouplingFamily(FlowFamily):
    """Affine coupling.

    Source: L. Dinh et al., "Density estimation using Real NVP", 2017 (arXiv 1605.08803), equations 7 and 8.
    """

    @classmethod
    def layer(cls, width: int, context: int, hidden: int, number: int) -> list[Any]:
        return [AffineCoupling(width, context, hidden, number % 2)]


class AffineCoupling(nf.flows.Flow):  # type: ignore[misc]
    """The layer y_b = x_b exp(s(x_a, c)) + t(x_a, c), y_a = x_a.

    Set a holds every other dimension; tanh bounds s. normflows' own affine coupling takes no context.
    """

    def __init__(self, width: int, context: int, hidden: int, first: int) -> None:
        super().__init__()
        self.register_buffer("kept", torch.arange(first, width, 2), persistent=False)
        self.register_buffer("moved", torch.arange(1 - first, width, 2), persistent=False)
        self.network = nn.Sequential(
            nn.Linear(len(self.kept) + context, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2 * len(self.moved)),
        )
        for parameter in self.network[-1].parameters():
            nn.init.uniform_(parameter, -FINAL_RANGE, FINAL_RANGE)

    def forward(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Map [N, D] noise and [N, C] context to [N, D] samples and the log-determinant [N]."""
        log_scale, shift = self._scale_and_shift(z, context)
        return self._replaced(z, z[:, self.moved] * log_scale.exp() + shift), log_scale.sum(dim=1)

    def inverse(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Invert `forward`."""
        log_scale, shift = self._scale_and_shift(z, context)
        return self._replaced(z, (z[:, self.moved] - shift) * (-log_scale).exp()), -log_scale.sum(dim=1)

    def _scale_and_shift(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self.network(torch.cat([z[:, self.kept], context], dim=1)).chunk(2, dim=1)
        return MAX_LOG_SCALE * torch.tanh(raw / MAX_LOG_SCALE), shift

    def _replaced(self, z: Tensor, moved: Tensor) -> Tensor:
        return z.index_copy(1, self.moved, moved)
