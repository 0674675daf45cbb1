"""CLAD: contrastive learning with the background as the negative."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from bgbias.components import Count, NonNegative, Positive, component
from bgbias.data.assignment import of_class, other_class
from bgbias.methods.method import Learner, Method, Output, own_of
from bgbias.methods.places import check_place_of_each_class
from bgbias.models.model import Classifier
from bgbias.types import Batch, Task

CONTRAST = "contrast"
POSITIVE_CROSS_ENTROPY = "positive_cross_entropy"


class Queues(nn.Module):
    """The last N features of each place, [P, N, F] of length 1, and how many were ever put in, [P]."""

    features: Tensor
    count: Tensor

    def __init__(self, places: int, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(places, length, width))
        self.register_buffer("count", torch.zeros(places, dtype=torch.int64))

    def negatives(self, label: Tensor) -> tuple[Tensor, Tensor]:
        """Of each label ([B] int64) the features [B, N, F] of its place, and which there are, [B, N] bool."""
        filled = torch.arange(self.features.shape[1], device=label.device) < self.count[label, None]
        return self.features[label], filled

    @torch.no_grad()
    def put(self, features: Tensor, place: Tensor) -> None:
        """Replace the oldest features of each place.

        Args:
            features: [B, F].
            place: [B] int64 in 0..P-1.
        """
        places, length = self.features.shape[:2]
        member = F.one_hot(place, places)
        rank = (member.cumsum(dim=0) - 1).gather(1, place[:, None])[:, 0]
        total = member.sum(dim=0)
        last = rank >= total[place] - length
        slot = (self.count[place] + rank) % length
        self.features[place[last], slot[last]] = features[last].to(self.features.dtype)
        self.count += total


@component
class Clad(Method):
    """The loss CE(x) + contrast_weight C + positive_weight CE(r).

    C = -log e^{s(x, r) / tau} / (e^{s(x, r) / tau} + sum_n e^{s(x, n) / tau}).

    r is the object of x on a background of another class; s is the cosine of the features that the head is given; the
    negatives n are the last features of other objects on backgrounds of x's class, of earlier batches.
    The k-th place must be the background of the k-th class, as in ImageNet-9. From a fresh network the contrast falls
    only after some tens of epochs; in a few epochs the method is worse than ERM.

    contrast_weight: >= 0; published 1
    temperature: > 0, tau; published 0.2
    queue: >= 1, how many negatives are kept for each class; published 32
    positive_weight: >= 0; published 0 (CLAD) and 1 (CLAD+)

    Supervision: mask, background
    Cost: twice ERM's
    Source: K. Wang et al., "Clad: A Contrastive Learning based Approach for Background Debiasing", 2022
    (arXiv 2210.02748).
    """

    needs_masks: ClassVar[bool] = True

    contrast_weight: NonNegative = 1.0
    temperature: Positive = 0.2
    queue: Count = 32
    positive_weight: NonNegative = 0.0

    def build(self, task: Task, classifier: Classifier) -> Queues:
        check_place_of_each_class(self.name(), task)
        return Queues(len(task.places) - 1, self.queue, classifier.linear.in_features)

    def penalties(self, learner: Learner, batch: Batch, output: Output, rng: Generator) -> dict[str, Tensor]:
        queues = own_of(learner, Queues)
        place = batch.backgrounds.place
        moved = batch.on(of_class(other_class(batch.label, place, rng), place, rng))
        other = learner.output(moved.image)
        anchor, positive = F.normalize(output.features, dim=1), F.normalize(other.features, dim=1)
        loss = contrast(anchor, positive, *queues.negatives(batch.label), self.temperature)
        queues.put(positive.detach(), moved.place)
        terms = {CONTRAST: self.contrast_weight * loss}
        if self.positive_weight:
            cross_entropy = F.nll_loss(other.log_probability, batch.label, reduction="none")
            terms[POSITIVE_CROSS_ENTROPY] = self.positive_weight * cross_entropy
        return terms


def contrast(anchor: Tensor, positive: Tensor, negatives: Tensor, there: Tensor, temperature: float) -> Tensor:
    """Compute -log of the positive's share among the exponentials of cosines over the temperature: [B] >= 0.

    Args:
        anchor, positive: [B, F], and negatives: [B, N, F], of length 1.
        there: [B, N] bool, which negatives there are; without any the loss is 0.
        temperature: > 0.
    """
    close = (anchor * positive).sum(dim=1, keepdim=True)
    far = torch.einsum("bf,bnf->bn", anchor, negatives.to(anchor.dtype)).masked_fill(~there, -torch.inf)
    scores = torch.cat([close, far], dim=1) / temperature
    return scores.logsumexp(dim=1) - scores[:, 0]
