"""Noise on the background (CoRM): the cheap control that every gradient penalty must beat."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from bgbias.components import NonNegative, Positive, component
from bgbias.methods.method import Learner, Method, Output
from bgbias.types import Batch

NOISY_CROSS_ENTROPY = "noisy_cross_entropy"


@component
class BackgroundNoise(Method):
    """CE(x) + noise_weight CE(x + m d) with d ~ N(0, noise^2), m the background.

    noise: > 0, standard deviation in each pixel and channel, where 1 is full brightness
    noise_weight: >= 0, of the noisy picture's cross-entropy; published 1

    Supervision: mask
    Cost: twice ERM's
    Sources: S. Singla et al., "Core Risk Minimization using Salient ImageNet", 2022 (arXiv 2203.15566); form as in
    J. Heo et al., "Use Perturbations when Learning from Explanations", 2023 (arXiv 2303.06419).
    """

    needs_pixels: ClassVar[bool] = True
    needs_masks: ClassVar[bool] = True

    noise: Positive = 0.3
    noise_weight: NonNegative = 1.0

    def penalties(self, learner: Learner, batch: Batch, output: Output, rng: Generator) -> dict[str, Tensor]:
        log_probability = learner.output(noisy(batch, self.noise, rng)).log_probability
        loss = F.nll_loss(log_probability, batch.label, reduction="none")
        return {NOISY_CROSS_ENTROPY: self.noise_weight * loss}


def noisy(batch: Batch, size: float, generator: Generator) -> Tensor:
    """Add normal noise to the backgrounds of a batch's pictures: [B, C, H, W].

    Args:
        size: >= 0, standard deviation.
        generator: on the batch's device.
    """
    image = batch.image.detach()
    noise = size * torch.randn(image.shape, generator=generator, device=generator.device)
    return torch.where(batch.mask, image, image + noise)
