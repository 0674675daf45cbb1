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
RAW = "background_gradient_raw"


@component
class GradientPenalty(Method):
    """Cross-entropy plus `weight` times the energy of the input gradient on the background.

    form: what is differentiated and how it is summed
        `plain`: cross-entropy; `plain_norm`
        `reproduced`: the same as the 2022 study has it; `background_norm`, there with weights of 1e7 and 1e8
        `log_probability`: log-probabilities along random class directions; `background_energy`
        `aggregated`: the same gradient; `aggregated_energy`
        `rrr`: the sum over classes of log-probabilities; `background_energy`. It is zero where all classes are alike
            probable
        `gradmask`: the label's logit minus the highest other one; `background_slope`
    weight: >= 0
    dilation: pixels, >= 0, by which masks are widened before composing, so that a rim of each object's own
        picture (black paper around a digit) separates it from its background
    smoothing: pixels, >= 0, of `aggregated` alone: sum over windows of this radius; None sums over the whole
        background at once
    lit_only: whether only background pixels that are not black are penalised, as in the 2022 study's one-pixel digits
    dimming: in [0, 1]; each time an example is seen, its background's brightness is multiplied by a factor drawn
        from [1 - dimming, 1], so that the answer is held still along the path to black and not at one point alone;
        the colour still predicts the class, so dimming without a penalty does not help

    Every form but `reproduced` is the change of the answer that a change of one picture's whole background by one unit
    of brightness makes (its root mean square over pixels is 1), so that a weight means the same at any picture and
    batch size. `background_gradient_raw` among the losses is sum (m g)^2 of each picture as published, not weighted and
    not trained on. A published weight w is turned by the number n of background pixels and the batch size B:
        RRR with sums over pixels, or `log_probability` before: w / n here
        GradMask, and `aggregated` without smoothing: w
        the 2022 study: w / sqrt(n B) with `plain`, where all pictures have n alike; 1e8 on one-pixel digits is 3.3e6

    Supervision: mask
    Cost: 2 to 5 times ERM's, by the second differentiation
    Sources: "Mitigating image background bias in DNN" (2022); A. Ross et al., "Right for the Right Reasons",
    2017 (arXiv 1703.03717), equation 1, for `rrr`; B. Simpson et al., "GradMask: Reduce Overfitting by Regularizing
    Saliency", 2019 (arXiv 1904.07478), for `gradmask`, there of two classes; G. Erion et al., "Improving
    performance of deep learning models with axiomatic attribution priors and expected gradients", 2021
    (arXiv 1906.10670), for gradients along a path from a baseline.
    """

    needs_pixels: ClassVar[bool] = True
    needs_masks: ClassVar[bool] = True

    form: Literal["plain", "reproduced", "log_probability", "aggregated", "rrr", "gradmask"] = "aggregated"
    weight: NonNegative = 0.01
    dilation: Pixels = 0
    smoothing: Pixels | None = None
    lit_only: bool = False
    dimming: Share = 0.0

    differentiates_input: ClassVar[bool] = True

    def prepare(self, dataset: Dataset, rng: Generator) -> Dataset:
        return dataset.dilated(self.dilation)

    def augment(self, learner: Learner, batch: Batch, rng: Generator) -> Batch:
        return dim_backgrounds(batch, self.dimming, rng) if self.dimming else batch

    def penalties(self, learner: Learner, batch: Batch, output: Output, rng: Generator) -> dict[str, Tensor]:
        gradient = input_gradient(self.differentiated(output, batch.label, rng).sum(), batch.image)
        mask = batch.mask | is_black(batch.image) if self.lit_only else batch.mask
        gradient = on_background(gradient, mask)
        return {
            BACKGROUND_GRADIENT: self.weight * self.energy(gradient, mask),
            RAW: squared_sum(gradient.detach()),
        }

    def differentiated(self, output: Output, label: Tensor, rng: Generator) -> Tensor:
        """Compute the quantity that this form differentiates with respect to the image, [B] or [B, K]."""
        log_probability = output.log_probability
        if self.form in ("plain", "reproduced"):
            return F.nll_loss(log_probability, label, reduction="none")
        if self.form == "rrr":
            return log_probability
        if self.form == "gradmask":
            return lead(output.logits, label)
        return torch.randn(log_probability.shape, generator=rng, device=rng.device) * log_probability

    def energy(self, gradient: Tensor, mask: Tensor) -> Tensor:
        """The form's energy of a gradient [B, C, H, W] that is 0 on the foreground."""
        if self.form == "aggregated":
            return aggregated_energy(gradient, mask, self.smoothing)
        if self.form == "reproduced":
            return background_norm(gradient)
        if self.form == "gradmask":
            return background_slope(gradient)
        return plain_norm(gradient, mask) if self.form == "plain" else background_energy(gradient, mask)


def lead(logits: Tensor, label: Tensor) -> Tensor:
    """Compute the label's logit minus the highest other one: [B].

    Args:
        logits: [B, K], K >= 2.
        label: [B] int64.
    """
    own = logits.gather(1, label[:, None])
    return own[:, 0] - logits.scatter(1, label[:, None], -torch.inf).amax(dim=1)


def is_black(image: Tensor) -> Tensor:
    """Find the pixels of images [B, C, H, W] that are 0 in all channels: [B, 1, H, W] bool."""
    return (image == 0).all(dim=1, keepdim=True)


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
    """Compute d value / d image, itself differentiable: [B, C, H, W] for a scalar `value`."""
    (gradient,) = torch.autograd.grad(value, image, create_graph=True)
    return gradient


def size_of(mask: Tensor) -> Tensor:
    """Count the background pixels of each picture, [B] float; `mask` is [B, 1, H, W] bool, True = object."""
    return (~mask).sum(dim=(1, 2, 3)).float()


def on_background(gradient: Tensor, mask: Tensor) -> Tensor:
    """The gradient with 0 on the foreground; a product is several times as fast as filling in."""
    return gradient * (~mask).to(gradient.dtype)


def squared_sum(gradient: Tensor) -> Tensor:
    """|| m g ||^2 of each example, [B] >= 0. The argument is that of `background_norm`."""
    return gradient.square().sum(dim=(1, 2, 3))


def background_norm(gradient: Tensor) -> Tensor:
    """|| m g ||_2 / B over all pixels of all B examples together, a scalar >= 0, m the background.

    With g the gradient of the examples' cross-entropies this is the penalty of the 2022 study, the norm of their mean's
    gradient; its size falls with the batch size, as 1 / sqrt(B) for alike examples.

    Args:
        gradient: m g, [B, C, H, W], 0 on the foreground; of a sum over examples, so that each has its own gradient.
    """
    norm: Tensor = gradient.norm() / len(gradient)
    return norm


def plain_norm(gradient: Tensor, mask: Tensor) -> Tensor:
    """sqrt(mean_i n_i || m g_i ||^2), a scalar >= 0, n_i the background pixels of example i.

    Where all n_i are n this is sqrt(n B) times `background_norm`.

    Args:
        gradient: as of `background_norm`.
        mask: [B, 1, H, W] bool, True = foreground.
    """
    root = (size_of(mask) / len(gradient)).sqrt()
    norm: Tensor = (root * torch.linalg.vector_norm(gradient, dim=(1, 2, 3))).norm()
    return norm


def background_energy(gradient: Tensor, mask: Tensor) -> Tensor:
    """Compute n || m g ||^2 of each example, [B] >= 0, n its background pixels.

    It is the highest squared change, to first order, that a change of the background of root mean square 1 over its
    pixels makes. With g the gradient of v . log p, v ~ N(0, I), its expectation is n times the squared Jacobian of all
    K log-probabilities on the background. Arguments as of `plain_norm`.
    """
    return size_of(mask) * squared_sum(gradient)


def background_slope(gradient: Tensor) -> Tensor:
    """Compute || m g ||_1 of each example, [B] >= 0.

    It is the largest change, to first order, by a change of the background of at most 1 in every pixel. The argument is
    that of `background_norm`.
    """
    return gradient.abs().sum(dim=(1, 2, 3))


def aggregated_energy(gradient: Tensor, mask: Tensor, radius: int | None) -> Tensor:
    """The gradient of each example summed over its background per channel, then squared: [B] >= 0.

    A shift of the background's colour moves all its pixels together, so the sum is the direction in which
    the bias moves. With a radius, the mean over background pixels u of (n / c_u * the sum over u's window)^2; the
    window has (2 radius + 1)^2 pixels, of which c_u are background, of the n that the picture has. This smooths the
    background before it is pasted. A radius across the picture equals None; radius 0 is `background_energy`; between
    them cost and memory are those of a few matrix products of the picture's side.

    Args:
        gradient: as of `background_norm`.
        mask: [B, 1, H, W] bool, True = foreground.
        radius: pixels, >= 0, or None for the whole picture.

    Returns:
        [B], the sum over channels.
    """
    if radius is None:
        return gradient.sum(dim=(2, 3)).square().sum(dim=1)
    n = size_of(mask)[:, None, None, None]
    background = (~mask).to(gradient.dtype)
    density = n * window_sum(gradient, radius) / window_sum(background, radius).clamp(min=1)
    squared = (density * background).square().sum(dim=(1, 2, 3))
    return squared / n[:, 0, 0, 0].clamp(min=1)


def window_sum(values: Tensor, radius: int) -> Tensor:
    """Sums over windows of (2 radius + 1) x (2 radius + 1) pixels, cut at the border: [..., H, W] to the same."""
    down, across = (band(side, radius, values) for side in values.shape[-2:])
    return down @ values @ across


def band(side: int, radius: int, like: Tensor) -> Tensor:
    """[side, side], 1 where row and column are at most `radius` apart."""
    place = torch.arange(side, device=like.device)
    return ((place[:, None] - place).abs() <= radius).to(like.dtype)
