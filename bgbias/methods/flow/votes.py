"""Votes over the predictions on sampled embeddings of one image."""

from typing import Literal, get_args

import torch
from torch import Tensor

Vote = Literal["majority", "mean_probability", "reproduced"]
VOTES: tuple[Vote, ...] = get_args(Vote)
SMALLEST = 1e-30
"""The lower bound of scores, so that their logarithm is finite."""


class Tally:
    """Running sums over the samples of B images, in constant memory.

    count: the number of samples added
    """

    def __init__(self, images: int, classes: int, device: torch.device) -> None:
        self.count = 0
        self._votes = torch.zeros(images, classes, dtype=torch.float64, device=device)
        self._total = torch.zeros_like(self._votes)
        self._lowest = torch.full_like(self._votes, torch.inf)

    def add(self, probability: Tensor) -> None:
        """Add the class probabilities [B, s, K] of s more samples."""
        self.count += probability.shape[1]
        predicted = probability.argmax(dim=2)
        self._votes.scatter_add_(1, predicted, torch.ones_like(predicted, dtype=torch.float64))
        self._total += probability.double().sum(dim=1)
        self._lowest = torch.minimum(self._lowest, probability.double().amin(dim=1))

    def logits(self, vote: Vote) -> Tensor:
        """Compute log-scores [B, K] float64 of the samples so far; the highest one is the prediction.

        majority: the share of samples that predict each class; the higher summed probability wins a tie
        mean_probability: the mean of the samples' probabilities
        reproduced: the lowest probability of a class over the samples. The 2022 study applied PyTorch's `mode` to
            scores that are all different, which gives their minimum, and called it majority voting
        """
        if vote == "majority":
            score = (self._votes + self._total / (self.count + 1)) / (self.count + self.count / (self.count + 1))
        elif vote == "mean_probability":
            score = self._total / self.count
        else:
            score = self._lowest
        return score.clamp(min=SMALLEST).log()
