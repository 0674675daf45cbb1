"""Counterfactual agreement: predictions for one object on two backgrounds must agree."""

import math
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from bgbias.components import NonNegative, component
from bgbias.data.assignment import elsewhere
from bgbias.methods.method import Learner, Method, Output
from bgbias.methods.places import check_other_place
from bgbias.models.model import Classifier
from bgbias.types import Batch, Task

DISAGREEMENT = "disagreement"


@component
class Counterfactual(Method):
    """Cross-entropy plus a distance between predictions on two backgrounds.

    The distance is between the predictions on the example's background and on one of another class, times `agreement`.

    agreement: >= 0, weight of the distance
    distance: `jensen_shannon` of the probabilities, in nats, at most log 2; or `squared_logits`, the mean over classes
        of the squared difference of logits

    Supervision: mask, background
    Cost: twice ERM's
    Sources: C.-H. Chang et al., "Towards Robust Classification Model by Counterfactual and Invariant Data
    Generation", 2021 (arXiv 2106.01127), for counterfactual backgrounds; D. Hendrycks et al., "AugMix", 2020
    (arXiv 1912.02781), equation 1, for the Jensen-Shannon distance of predictions.
    """

    needs_masks: ClassVar[bool] = True

    agreement: NonNegative = 1.0
    distance: Literal["jensen_shannon", "squared_logits"] = "jensen_shannon"

    def build(self, task: Task, classifier: Classifier) -> nn.Module:
        check_other_place(self.name(), task)
        return super().build(task, classifier)

    def penalties(self, learner: Learner, batch: Batch, output: Output, rng: Generator) -> dict[str, Tensor]:
        other = learner.output(batch.on(elsewhere(batch, rng)).image)
        if self.distance == "squared_logits":
            distance = (output.logits - other.logits).square().mean(dim=1)
        else:
            distance = jensen_shannon(output.log_probability, other.log_probability)
        return {DISAGREEMENT: self.agreement * distance}


def jensen_shannon(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Compute (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, in nats: [B], in [0, log 2].

    Args:
        log_p, log_q: [B, K] log-probabilities.
    """
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum(dim=1) / 2
