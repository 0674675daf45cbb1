"""Worst of k backgrounds: some examples stand on the one of k random backgrounds that the classifier is worst on."""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from bgbias.components import Count, Share, component
from bgbias.data.assignment import of_random_class
from bgbias.methods.method import Learner, Method
from bgbias.methods.passes import evaluating
from bgbias.types import Examples


@component
class WorstOfK(Method):
    """min over weights of E max_{j <= k} CE(f(x on background j), y), each example with chance `mix`.

    The k backgrounds are drawn with a uniform class each, and compared in evaluation mode and without gradients, so
    that batch statistics do not change. It is the training twin of the Background Challenge.

    k: >= 1; published 4; 1 is dynamic replacement with p = `mix`
    mix: in [0, 1], the chance that an example takes the worst of k
    otherwise: where the other examples stand: on their `own` background, or on a `random` one

    Supervision: mask, background
    Cost: ERM's and about k x mix forward passes
    Source: C. Gong et al., "MaxUp: Lightweight Adversarial Training with Data Augmentation Improves Neural Network
    Training", 2021 (arXiv 2002.09024), equation 2.
    """

    needs_masks: ClassVar[bool] = True

    k: Count = 4
    mix: Share = 0.5
    otherwise: Literal["own", "random"] = "own"

    def assign(self, learner: Learner, examples: Examples, rng: Generator) -> Tensor:
        n, place = len(examples), examples.backgrounds.place
        hard = torch.rand(n, generator=rng, device=rng.device) < self.mix
        drawn = of_random_class((self.k + 1) * n, place, rng).view(self.k + 1, n)
        rest = examples.background if self.otherwise == "own" else drawn[self.k]
        if not hard.any():
            return rest
        return torch.where(hard, worst(learner, examples, drawn[: self.k], hard), rest)


@torch.no_grad()
def worst(learner: Learner, examples: Examples, drawn: Tensor, compared: Tensor) -> Tensor:
    """Of k backgrounds for each example ([k, B] int64) the one of highest cross-entropy: [B] int64.

    compared: [B] bool, the examples to compare for; the others get the first
    """
    losses = torch.zeros(drawn.shape, device=drawn.device)
    with evaluating(learner.classifier):
        for loss, background in zip(losses, drawn, strict=True):
            logits = learner(examples.on(background).image[compared]).float()
            loss[compared] = F.cross_entropy(logits, examples.label[compared], reduction="none")
    return drawn.gather(0, losses.argmax(dim=0, keepdim=True))[0]
