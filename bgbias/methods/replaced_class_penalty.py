"""A penalty for predicting the class of a replaced background."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from bgbias.components import NonNegative, component
from bgbias.methods.dynamic_replacement import DynamicReplacement
from bgbias.methods.method import Learner, Output
from bgbias.methods.places import check_place_of_each_class
from bgbias.models.model import Classifier
from bgbias.types import Batch, Task

REPLACED_CLASS = "replaced_class"
SMALLEST = 1e-6
"""Of 1 - p, where its logarithm is taken."""


@component
class ReplacedClassPenalty(DynamicReplacement):
    """Dynamic replacement plus `penalty` times a loss of the class b of the background, where b is not the label y.

    The k-th place must be the background of the k-th class, as in ImageNet-9.

    p: chance in [0, 1] that an example's background is replaced by one of a random class
    penalty: >= 0, weight of the loss
    form: `unlikelihood`, -log(1 - p_b); or `log_odds`, log(1 + p_b / p_y), which no third class enters

    Supervision: mask, background
    Cost: ERM's
    Sources: further work of "Mitigating image background bias in DNN" (2022); C.-H. Chang et al., "Towards Robust
    Classification Model by Counterfactual and Invariant Data Generation", 2021 (arXiv 2106.01127), for -log(1 - p);
    there the object is removed and its own class is penalised.
    """

    penalty: NonNegative = 1.0
    form: Literal["unlikelihood", "log_odds"] = "unlikelihood"

    def build(self, task: Task, classifier: Classifier) -> nn.Module:
        check_place_of_each_class(self.name(), task)
        return nn.Module()

    def penalties(self, learner: Learner, batch: Batch, output: Output, rng: Generator) -> dict[str, Tensor]:
        replaced = (batch.place >= 0) & (batch.place != batch.label)
        wrong, log_probability = batch.place.clamp(min=0), output.log_probability
        if self.form == "unlikelihood":
            found = unlikelihood(log_probability, wrong)
        else:
            found = log_odds(log_probability, wrong, batch.label)
        return {REPLACED_CLASS: self.penalty * torch.where(replaced, found, 0)}


def unlikelihood(log_probability: Tensor, wrong: Tensor) -> Tensor:
    """Compute -log(1 - p_wrong), [B] >= 0, with 1 - p at least 1e-6.

    Args:
        log_probability: [B, K].
        wrong: [B] int64.
    """
    p = log_probability.gather(1, wrong[:, None])[:, 0].exp()
    return -(1 - p).clamp(min=SMALLEST).log()


def log_odds(log_probability: Tensor, wrong: Tensor, label: Tensor) -> Tensor:
    """log(1 + p_wrong / p_label), [B] >= 0; `log_probability` is [B, K], `wrong` and `label` [B] int64."""
    chosen = log_probability.gather(1, torch.stack([wrong, label], dim=1))
    return F.softplus(chosen[:, 0] - chosen[:, 1])
