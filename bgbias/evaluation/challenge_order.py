"""By how much a foreground's right answer leads, guessed for backgrounds that it was not seen on.

What was answered on some pairs is carried to the others in two ways: as if each background did the same to every
foreground, and along the gradient, which knows what of a background is to be seen beside this very object.
"""

import torch
from torch import Tensor

from bgbias.data.compose import unit
from bgbias.data.dataset import Variant, batch_size
from bgbias.methods.method import Learner, Method, logits_of

FRONT_SHRINKAGE, EFFECT_SHRINKAGE, SWEEPS = 1.0, 2.0, 6
"""In answers: how many would have to speak against a foreground's being like its class, and a background's having no
effect, to outweigh that; and how often the two are fitted in turn."""


def additive_fit(label: Tensor, m: int, fronts: Tensor, backs: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logits(foreground, background) guessed as front(foreground) + effect(background), fitted to P answers.

    Ridge regression: a front is drawn to the mean of its class by `FRONT_SHRINKAGE`, an effect to 0 by
    `EFFECT_SHRINKAGE`; both are fitted in turn, `SWEEPS` times.

    Args:
        label: [N] int64; m: backgrounds; fronts, backs: [P] int64; logits: [P, K] float

    Returns:
        [N, K] fronts and [M, K] effects; of what was never answered, the mean of the class and 0.
    """
    n, k = len(label), logits.shape[1]
    classes = int(label.max()) + 1
    front, effect = torch.zeros(n, k), torch.zeros(m, k)
    asked, shown = (torch.bincount(index, minlength=size)[:, None] for index, size in ((fronts, n), (backs, m)))
    of_class = torch.bincount(label[fronts], minlength=classes)[:, None].clamp(min=1)
    for _ in range(SWEEPS):
        alone = logits - effect[backs]
        mean = torch.zeros(classes, k).index_add_(0, label[fronts], alone) / of_class
        summed = torch.zeros(n, k).index_add_(0, fronts, alone)
        front = (summed + FRONT_SHRINKAGE * mean[label]) / (asked + FRONT_SHRINKAGE)
        effect = torch.zeros(m, k).index_add_(0, backs, logits - front[fronts]) / (shown + EFFECT_SHRINKAGE)
    return front, effect


def margins(front: Tensor, effect: Tensor, label: Tensor) -> Tensor:
    """By how much the label's guessed logit exceeds the highest other: [P, M], of [P, K] fronts and [M, K] effects."""
    guess = front[:, None] + effect
    own = label[:, None, None].expand(-1, len(effect), 1)
    return guess.gather(2, own)[..., 0] - guess.scatter(2, own, -torch.inf).amax(dim=2)


def slopes(
    method: Method, learner: Learner, variant: Variant, fronts: Tensor, backs: Tensor
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Answers on P pairs, and how their margins hang on what is seen of the background.

    The margin is the label's logit - logsumexp of the others'.

    Args:
        variant: lies on the module's device; fronts, backs: [P] int64 there

    Returns:
        Logits [P, K]; the margin's gradient [P, C, H, W], 0 on the foreground, or None where the method's answers have
        none; and what the margin would be without any background if it were linear, [P].
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


def continued(variant: Variant, slope: Tensor, start: Tensor) -> Tensor:
    """Margins continued along their gradients to every background: start + <slope, background>, [P, M] float32.

    Args:
        slope: [P, C, H, W]; start: [P]; both as `slopes` has them, on the variant's device
    """
    chunks = torch.arange(len(variant.backgrounds), device=slope.device).split(batch_size(variant))
    with torch.autocast(slope.device.type, enabled=False):
        rise = [
            torch.einsum("pchw,mchw->pm", slope, unit(variant.backgrounds.image[some]).expand(-1, *slope.shape[1:]))
            for some in chunks
        ]
    return start[:, None] + torch.cat(rise, dim=1)
