"""Estimates of a classifier's margin on pairs of foreground and background that were not evaluated.

Two estimates: an additive model of logits (each background has the same effect on every foreground), and a linear
extrapolation of the margin along its gradient with respect to the visible background of one foreground.
"""

import torch
from torch import Tensor

from bgbias.data.compose import unit
from bgbias.data.dataset import Variant, batch_size
from bgbias.methods.method import Learner, Method, logits_of

FRONT_SHRINKAGE, EFFECT_SHRINKAGE, SWEEPS = 1.0, 2.0, 6
"""Ridge strengths of the foregrounds and of the effects, as a number of observations; and the number of alternating
fits."""


def additive_fit(label: Tensor, m: int, fronts: Tensor, backs: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Fit logits(foreground, background) = front(foreground) + effect(background) to P evaluated pairs.

    Ridge regression: `FRONT_SHRINKAGE` pulls a front to the mean of its class, `EFFECT_SHRINKAGE` pulls an effect to
    0. The two are fitted alternately, `SWEEPS` times.

    Args:
        label: [N] int64, the class of each foreground.
        m: the number of backgrounds.
        fronts: [P] int64 in 0..N-1, the foreground of each pair.
        backs: [P] int64 in 0..M-1, the background of each pair.
        logits: [P, K] float.

    Returns:
        [N, K] fronts and [M, K] effects. Without any pair, a front is the mean of its class and an effect is 0.
    """
    n, k = len(label), logits.shape[1]
    classes = int(label.max()) + 1
    front, effect = torch.zeros(n, k), torch.zeros(m, k)
    front_count, back_count = (torch.bincount(at, minlength=size)[:, None] for at, size in ((fronts, n), (backs, m)))
    of_class = torch.bincount(label[fronts], minlength=classes)[:, None].clamp(min=1)
    for _ in range(SWEEPS):
        alone = logits - effect[backs]
        mean = torch.zeros(classes, k).index_add_(0, label[fronts], alone) / of_class
        summed = torch.zeros(n, k).index_add_(0, fronts, alone)
        front = (summed + FRONT_SHRINKAGE * mean[label]) / (front_count + FRONT_SHRINKAGE)
        effect = torch.zeros(m, k).index_add_(0, backs, logits - front[fronts]) / (back_count + EFFECT_SHRINKAGE)
    return front, effect


def margins(front: Tensor, effect: Tensor, label: Tensor) -> Tensor:
    """Estimate margins: the label's logit minus the highest other one.

    Args:
        front: [P, K] float, of P foregrounds.
        effect: [M, K] float, of M backgrounds.
        label: [P] int64.

    Returns:
        [P, M] float.
    """
    guess = front[:, None] + effect
    own = label[:, None, None].expand(-1, len(effect), 1)
    return guess.gather(2, own)[..., 0] - guess.scatter(2, own, -torch.inf).amax(dim=2)


def slopes(
    method: Method, learner: Learner, variant: Variant, fronts: Tensor, backs: Tensor
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Compute logits of P pairs, and the gradient of their margins with respect to the visible background.

    The margin is the label's logit minus the logsumexp of the others.

    Args:
        method: computes the logits.
        learner: in eval mode.
        variant: on the learner's device.
        fronts: [P] int64, foregrounds, on the learner's device.
        backs: [P] int64, backgrounds, on the learner's device.

    Returns:
        Logits [P, K]; the margin's gradient [P, C, H, W], 0 on the foreground, or None if the method's logits have no
        gradient; and the margin's linear extrapolation to a black background, [P].
    """
    batch = variant.batch(fronts, backs)
    image = batch.image.detach().requires_grad_()
    logits = logits_of(method, learner, image).float()
    own = batch.label[:, None]
    margin = logits.gather(1, own)[:, 0] - logits.scatter(1, own, -torch.inf).logsumexp(dim=1)
    found = torch.autograd.grad(margin.sum(), image, allow_unused=True)[0] if logits.requires_grad else None
    if found is None:
        return logits.detach(), None, margin.detach()
    slope = found * ~batch.mask
    return logits.detach(), slope, margin.detach() - (slope * batch.image).flatten(1).sum(dim=1)


def extrapolated(variant: Variant, slope: Tensor, start: Tensor) -> Tensor:
    """Extrapolate margins linearly to every background: start + <slope, background>.

    Args:
        variant: its M backgrounds.
        slope: [P, C, H, W] float, from `slopes`, on the variant's device.
        start: [P] float, from `slopes`, on the variant's device.

    Returns:
        [P, M] float32.
    """
    chunks = torch.arange(len(variant.backgrounds), device=slope.device).split(batch_size(variant))
    with torch.autocast(slope.device.type, enabled=False):
        rise = [
            torch.einsum("pchw,mchw->pm", slope, unit(variant.backgrounds.image[some]).expand(-1, *slope.shape[1:]))
            for some in chunks
        ]
    return start[:, None] + torch.cat(rise, dim=1)
