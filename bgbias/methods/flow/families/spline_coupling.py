"""Conditional rational-quadratic spline coupling."""

from typing import Any

import normflows as nf

from bgbias.components import component
from bgbias.methods.flow.families.family import FlowFamily

BLOCKS = 1
BINS = 8
TAIL_BOUND = 5.0
"""In standard deviations; beyond it the spline is the identity."""


@component
class SplineCouplingFamily(FlowFamily):
    """Rational-quadratic spline coupling.

    Source: C. Durkan et al., "Neural Spline Flows", 2019 (arXiv 1906.04032), equations 4 to 8.
    """

    @classmethod
    def layer(cls, width: int, context: int, hidden: int, number: int) -> list[Any]:
        spline = nf.flows.CoupledRationalQuadraticSpline(
            width,
            BLOCKS,
            hidden,
            num_context_channels=context,
            num_bins=BINS,
            tail_bound=TAIL_BOUND,
            reverse_mask=bool(number % 2),
        )
        return [spline]
