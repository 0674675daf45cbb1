"""Gradient penalty: the answer must not change when the background does."""

from dataclasses import replace
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from bgbias.components import NonNegative, Pixels, Share, component
from bgbias.data.dataset import Dataset
from bgbias.methods.method import Learner, Method, Output
from bgbias.types import Batch

BACKGROUND_GRADIENT = "background_gradient"


@component
class GradientPenalty(Method):
    """Cross-entropy plus `weight` times the energy of the input gradient on the background.

    form: what is differentiated and how it is summed
        `plain`: cross-entropy; `background_norm` (the 2022 study's form, there with weights of 1e7 and 1e8)
        `log_probability`: log-probabilities along random class directions; `background_energy`
        `aggregated`: the same gradient; `aggregated_energy`
    weight: >= 0
    dilation: pixels, >= 0, by which masks are widened before composing, so that a rim of each object's own
        picture (black paper around a digit) separates it from its background
    smoothing: pixels, >= 0, of `aggregated` alone: sum over windows of this radius; None sums over the whole
        background at once

    dimming: in [0, 1]; each time an example is seen, its background's brightness is multiplied by a factor drawn
        from [1 - dimming, 1], so that the answer is held still along the path to black and not at one point alone;
        the colour still tells the class, so dimming without a penalty mends nothing

    Sources: "Mitigating image background bias in DNN" (2022); A. Ross et al., "Right for the Right Reasons",
    2017 (arXiv 1703.03717), equation 1, for the gradient of log-probabilities; G. Erion et al., "Improving
    performance of deep learning models with axiomatic attribution priors and expected gradients", 2021
    (arXiv 1906.10670), for gradients along a path from a baseline.
    """

    form: Literal["plain", "log_probability", "aggregated"] = "aggregated"
    weight: NonNegative = 0.01
    dilation: Pixels = 0
    smoothing: Pixels | None = None
    dimming: Share = 0.0

    differentiates_input: ClassVar[bool] = True

    def prepare(self, dataset: Dataset, rng: Generator) -> Dataset:
        return dataset.dilated(self.dilation)

    def augment(self, learner: Learner, batch: Batch, rng: Generator) -> Batch:
        return dim_backgrounds(batch, self.dimming, rng) if self.dimming else batch

    def penalties(self, learner: Learner, batch: Batch, output: Output, rng: Generator) -> dict[str, Tensor]:
        log_probability = output.log_probability
        if self.form == "plain":
            cross_entropy = F.nll_loss(log_probability, batch.label)
            energy = background_norm(input_gradient(cross_entropy, batch.image), batch.mask)
        else:
            direction = torch.randn(log_probability.shape, generator=rng, device=rng.device)
            gradient = input_gradient((direction * log_probability).sum(), batch.image)
            if self.form == "log_probability":
                energy = background_energy(gradient, batch.mask)
            else:
                energy = aggregated_energy(gradient, batch.mask, self.smoothing)
        return {BACKGROUND_GRADIENT: self.weight * energy}


def dim_backgrounds(batch: Batch, dimming: float, generator: Generator) -> Batch:
    """Multiply each example's background by a factor of its own, uniform in [1 - dimming, 1].

    Args:
        batch: B composed examples.
        dimming: in [0, 1].
        generator: on the batch's device.

    Returns:
        A new batch; inside the masks every pixel is as before.
    """
    draw = torch.rand(len(batch), 1, 1, 1, generator=generator, device=generator.device)
    return replace(batch, image=torch.where(batch.mask, batch.image, batch.image * (1 - dimming * draw)))


def input_gradient(value: Tensor, image: Tensor) -> Tensor:
    """d value / d image, itself differentiable: [B, C, H, W] for a scalar `value`."""
    (gradient,) = torch.autograd.grad(value, image, create_graph=True)
    return gradient


def background_norm(gradient: Tensor, mask: Tensor) -> Tensor:
    """|| (1 - mask) * g ||_2 over all pixels of all B examples together, a scalar >= 0.

    With g the gradient of the batch's mean cross-entropy this is the penalty of the 2022 study; its size
    falls with the batch size, as 1 / sqrt(B) for alike examples.

    Args:
        gradient: [B, C, H, W].
        mask: [B, 1, H, W] bool, True = foreground.
    """
    norm: Tensor = gradient.masked_fill(mask, 0).norm()
    return norm


def background_energy(gradient: Tensor, mask: Tensor) -> Tensor:
    """|| (1 - mask) * g ||_2 squared of each example, [B] >= 0.

    With g the gradient of v . log p, v ~ N(0, I), its expectation is the squared Jacobian of all K
    log-probabilities on the background.

    Args:
        gradient: [B, C, H, W], of a sum over examples, so that each has its own gradient.
        mask: [B, 1, H, W] bool, True = foreground.
    """
    return gradient.masked_fill(mask, 0).square().sum(dim=(1, 2, 3))


def aggregated_energy(gradient: Tensor, mask: Tensor, radius: int | None) -> Tensor:
    """The gradient of each example summed over its background per channel, then squared: [B] >= 0.

    A shift of the background's colour moves all its pixels together, so the sum is the direction in which
    the bias moves. With a radius, sums run over windows of (2 radius + 1) x (2 radius + 1) pixels, and the
    squares are averaged over the window's H x W positions; this is the gradient with respect to a background
    that is box-filtered before it is pasted. A radius that reaches across the picture equals None; radius 0
    is `background_energy` / (H W).

    Args:
        gradient: [B, C, H, W], of a sum over examples.
        mask: [B, 1, H, W] bool, True = foreground.
        radius: pixels, >= 0, or None for the whole picture.

    Returns:
        [B], the sum over channels.
    """
    background = gradient.masked_fill(mask, 0)
    if radius is None:
        return background.sum(dim=(2, 3)).square().sum(dim=1)
    side = 2 * radius + 1
    window = F.avg_pool2d(background, side, stride=1, padding=radius, divisor_override=1)
    return window.square().mean(dim=(2, 3)).sum(dim=1)
