"""Gradient penalty: the answer must not change when the background does."""

from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from bgbias.components import NonNegative, Pixels, Share, component
from bgbias.data.dataset import Dataset
from bgbias.methods.method import CROSS_ENTROPY, Method
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

    def prepare(self, dataset: Dataset, generator: Generator) -> Dataset:  # noqa: ARG002
        return dataset.dilated(self.dilation)

    def augment(self, batch: Batch, generator: Generator) -> Batch:
        return dim_backgrounds(batch, self.dimming, generator) if self.dimming else batch

    def loss(self, module: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        image = batch.image.detach().requires_grad_()
        log_probability = F.log_softmax(module(image), dim=1)
        cross_entropy = F.nll_loss(log_probability, batch.label)
        if self.form == "plain":
            energy = background_norm(input_gradient(cross_entropy, image), batch.mask)
        else:
            direction = torch.randn(log_probability.shape, generator=generator, device=image.device)
            gradient = input_gradient((direction * log_probability).sum(), image)
            if self.form == "log_probability":
                energy = background_energy(gradient, batch.mask)
            else:
                energy = aggregated_energy(gradient, batch.mask, self.smoothing)
        return {CROSS_ENTROPY: cross_entropy, BACKGROUND_GRADIENT: self.weight * energy}


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
    """The mean over examples of || (1 - mask) * g ||_2 squared, a scalar >= 0.

    With g the gradient of v . log p, v ~ N(0, I), its expectation is the squared Jacobian of all K
    log-probabilities on the background.

    Args:
        gradient: [B, C, H, W], of a sum over examples, so that each has its own gradient.
        mask: [B, 1, H, W] bool, True = foreground.
    """
    return gradient.masked_fill(mask, 0).square().sum(dim=(1, 2, 3)).mean()


def aggregated_energy(gradient: Tensor, mask: Tensor, radius: int | None) -> Tensor:
    """The gradient summed over the background per channel, then squared: a scalar >= 0.

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
        The mean over examples of the sum over channels.
    """
    background = gradient.masked_fill(mask, 0)
    if radius is None:
        return background.sum(dim=(2, 3)).square().sum(dim=1).mean()
    side = 2 * radius + 1
    window = F.avg_pool2d(background, side, stride=1, padding=radius, divisor_override=1)
    return window.square().mean(dim=(2, 3)).sum(dim=1).mean()
