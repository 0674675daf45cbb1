"""Conditional masked affine autoregressive flow."""

from typing import Any

import normflows as nf
import torch
from torch import Tensor, nn

from bgbias.components import component
from bgbias.methods.flow.families.family import FlowFamily

BLOCKS = 1
MAX_LOG_SCALE = 2.0
"""The largest log-scale of a layer: a factor of e^2."""
SEEN_RANGE = 10.0
"""Bound of the network's inputs, in standard deviations, so that no input is amplified without limit."""


@component
class MaskedAutoregressiveFamily(FlowFamily):
    """Masked affine autoregressive layers in normflows' direction.

    Samples take one pass, log-densities as many passes as there are dimensions.

    Source: G. Papamakarios et al., "Masked Autoregressive Flow for Density Estimation", 2017 (arXiv 1705.07057);
    in this direction also D. Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow", 2016
    (arXiv 1606.04934).
    """

    @classmethod
    def layer(cls, width: int, context: int, hidden: int, number: int) -> list[Any]:
        return [
            BoundedAutoregressive(width, hidden, context_features=context, num_blocks=BLOCKS),
            nf.flows.Permute(width),
        ]


class BoundedAutoregressive(nf.flows.MaskedAffineAutoregressive):  # type: ignore[misc]
    """A layer of normflows with its scale bounded on both sides; its own is between 0.001 and 1."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.autoregressive_net.preprocessing = nn.Hardtanh(-SEEN_RANGE, SEEN_RANGE)

    def _elementwise_forward(self, inputs: Tensor, autoregressive_params: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._log_scale_and_shift(autoregressive_params)
        return inputs * log_scale.exp() + shift, log_scale.sum(dim=1)

    def _elementwise_inverse(self, inputs: Tensor, autoregressive_params: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._log_scale_and_shift(autoregressive_params)
        return (inputs - shift) * (-log_scale).exp(), -log_scale.sum(dim=1)

    def _log_scale_and_shift(self, autoregressive_params: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self._unconstrained_scale_and_shift(autoregressive_params)
        return MAX_LOG_SCALE * torch.tanh(raw / MAX_LOG_SCALE), shift
