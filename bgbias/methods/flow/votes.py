"""Votes over the answers that sampled embeddings of one image get."""

from typing import Literal, get_args

import torch
from torch import Tensor

Vote = Literal["majority", "mean_probability", "reproduced"]
VOTES: tuple[Vote, ...] = get_args(Vote)
SMALLEST = 1e-30
"""Scores below it count as this much, so that their logarithm is finite."""


class Tally:
    """Running sums over the samples of B images; its memory does not grow with them.

    count: how many samples were added
    """

    def __init__(self, images: int, classes: int, device: torch.device) -> None:
        self.count = 0
        self._votes = torch.zeros(images, classes, dtype=torch.float64, device=device)
        self._total = torch.zeros_like(self._votes)
        self._lowest = torch.full_like(self._votes, torch.inf)

    def add(self, probability: Tensor) -> None:
        """Count the class probabilities [B, s, K] of s more samples."""
        self.count += probability.shape[1]
        answer = probability.argmax(dim=2)
        self._votes.scatter_add_(1, answer, torch.ones_like(answer, dtype=torch.float64))
        self._total += probability.double().sum(dim=1)
        self._lowest = torch.minimum(self._lowest, probability.double().amin(dim=1))

    def logits(self, vote: Vote) -> Tensor:
        """What the samples so far say: log-scores [B, K] float64, the highest is the answer.

        majority: the share of samples that answer each class; where two classes have the same, the one with the
            higher summed probability is ahead
        mean_probability: the mean of the samples' probabilities
        reproduced: the lowest probability that any sample gives a class. The 2022 study took PyTorch's `mode` over
            scores that are all different, which is their minimum, and called it majority voting
        """
        if vote == "majority":
            score = (self._votes + self._total / (self.count + 1)) / (self.count + self.count / (self.count + 1))
        elif vote == "mean_probability":
            score = self._total / self.count
        else:
            score = self._lowest
        return score.clamp(min=SMALLEST).log()
