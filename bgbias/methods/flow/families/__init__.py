"""Conditional normalizing flows, on normflows; one file per family, each defines one `FlowFamily`."""

import normflows as nf

from bgbias.components import Registry
from bgbias.methods.flow.families.family import FlowFamily

flow_families = Registry("flow family", __name__, FlowFamily)


def build_flow(family: str, width: int, context: int, depth: int, hidden: int) -> nf.ConditionalNormalizingFlow:
    """Build a conditional density of vectors, initially close to the standard normal one.

    `forward` maps noise to samples, `inverse` samples to noise, each with a context row for every row; `log_prob`
    returns log-densities in nats.

    Args:
        family: its name.
        width: D >= 2, of the vectors [N, D].
        context: C, of the context rows [N, C].
        depth: >= 1, layers.
        hidden: units of the networks inside each layer.

    Raises:
        UnknownNameError: there is no such family.
    """
    chosen = flow_families.find(family)
    layers = [part for number in range(depth) for part in chosen.layer(width, context, hidden, number)]
    return nf.ConditionalNormalizingFlow(nf.distributions.DiagGaussian(width, trainable=False), layers)
