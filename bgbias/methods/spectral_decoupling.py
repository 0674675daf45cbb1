"""Spectral decoupling: small logits, so that one strong feature does not starve the others of gradient."""

from torch import Generator, Tensor

from bgbias.components import NonNegative, component
from bgbias.methods.method import Learner, Method, Output
from bgbias.types import Batch


@component
class SpectralDecoupling(Method):
    """The cross-entropy plus logit_weight / 2 times the mean square of the logits, over examples and classes.

    logit_weight: >= 0; published 0.1, searched from 1e-5 to 0.1, always without weight decay

    Supervision: none
    Cost: ERM's
    Source: M. Pezeshki et al., "Gradient Starvation: A Learning Proclivity in Neural Networks", 2021
    (arXiv 2011.09468).
    """

    logit_weight: NonNegative = 0.1

    def penalties(self, learner: Learner, batch: Batch, output: Output, rng: Generator) -> dict[str, Tensor]:
        return {"logits": self.logit_weight / 2 * output.logits.square().mean(dim=1)}
