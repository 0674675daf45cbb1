"""Where a model looks: maps of each pixel's weight in the answer, and the share of them that lies on the object.

A share must be read beside the share of the picture's area that the mask covers: a map without any structure puts
just that share on the object. Below it a model looks at the background, above it at the object.

What is differentiated is the label's logit minus the mean of all logits. Adding one number to all logits changes no
answer and no loss, so no training decides how that number hangs on the picture, and a map should not show it.
"""

import math
from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from torch import Tensor

from bgbias.components import component
from bgbias.data.dataset import Variant, batch_size, spread
from bgbias.evaluation.evaluator import Evaluator, SplitResult
from bgbias.methods.method import Learner, Method, Notes, logits_of
from bgbias.metrics import OBJECT_SALIENCY, variant_metric
from bgbias.types import Rows

PASS_PIXELS = 1 << 19
"""How many pixels the pictures of one backward pass may have together."""
STEPS = 32
"""Of the path from black to the picture; M. Sundararajan et al. find 20 to 300 enough."""
IMAGES = 1000
"""How many examples of a variant its mean share is taken over."""

SaliencyMap = Callable[[Method, Learner, Tensor, Tensor], Tensor]
"""From a method, its learner, images [B, C, H, W] and labels [B] int64 to maps [B, H, W] >= 0."""


def input_gradient(method: Method, learner: Learner, image: Tensor, label: Tensor) -> Tensor:
    """| d score of the label / d image |, summed over channels.

    Source: K. Simonyan et al., "Deep Inside Convolutional Networks", 2013 (arXiv 1312.6034), section 3.

    Args:
        learner: is put into evaluation mode; its parameters' gradients are left alone.
        image: [B, C, H, W] float.
        label: [B] int64.

    Returns:
        [B, H, W] >= 0.
    """
    from captum.attr import Saliency  # takes half a second, which whoever asks for no map need not wait for

    learner.eval()
    saliency = Saliency(lambda picture: scores(logits_of(method, learner, picture)))
    found = [
        saliency.attribute(picture.detach().requires_grad_(), target=target)
        for picture, target in in_passes(image, label)
    ]
    return torch.cat(found).sum(dim=1)


def integrated_gradients(method: Method, learner: Learner, image: Tensor, label: Tensor, steps: int = STEPS) -> Tensor:
    """| image * the mean of d score of the label / d image on the straight path from black |, summed over channels.

    Before the absolute value, a map's sum is the picture's score minus black's. What is black gets nothing.
    Source: M. Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017 (arXiv 1703.01365), equation 1.

    Args:
        learner: is put into evaluation mode; its parameters' gradients are left alone.
        image: [B, C, H, W] float.
        label: [B] int64.
        steps: >= 1, nodes of the Gauss-Legendre quadrature.

    Returns:
        [B, H, W] >= 0.
    """
    from captum.attr import IntegratedGradients

    learner.eval()
    integrated = IntegratedGradients(lambda picture: scores(logits_of(method, learner, picture)))
    found = [
        integrated.attribute(
            picture.detach(), target=target, n_steps=steps, internal_batch_size=images_in_a_pass(image)
        )
        for picture, target in in_passes(image, label)
    ]
    return torch.cat(found).abs().sum(dim=1)


MAPS: dict[str, SaliencyMap] = {"input_gradient": input_gradient, "integrated_gradients": integrated_gradients}


def scores(logits: Tensor) -> Tensor:
    """Logits [B, K] minus their mean over the classes, which softmax does not see."""
    return logits - logits.mean(dim=1, keepdim=True)


def images_in_a_pass(image: Rows) -> int:
    """How many such images ([B, C, H, W]) a backward pass may hold, >= 1."""
    return max(1, PASS_PIXELS // math.prod(image.shape[2:]))


def in_passes(image: Tensor, label: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels, as many at a time as a backward pass may hold."""
    size = images_in_a_pass(image)
    return zip(image.split(size), label.split(size), strict=True)


def share_on_object(saliency: Tensor, mask: Tensor) -> Tensor:
    """sum of a map inside the mask / sum of the map.

    Args:
        saliency: [B, H, W] >= 0.
        mask: [B, 1, H, W] bool, True = object.

    Returns:
        [B] in [0, 1]; NaN where a map is zero everywhere and so looks nowhere. Means leave these out.
    """
    inside = (saliency * mask[:, 0]).sum(dim=(1, 2))
    return inside / saliency.sum(dim=(1, 2))


def mask_area(mask: Tensor) -> Tensor:
    """The share of each picture's area that its mask ([B, 1, H, W] bool) covers: [B] in [0, 1]."""
    return mask.double().mean(dim=(1, 2, 3))


def shares(method: Method, learner: Learner, variant: Variant, index: Tensor, saliency: SaliencyMap) -> Tensor:
    """The share on the object for the examples at `index` ([n] int64) of a variant on the learner's device.

    The object is the variant's own mask, also where nothing was pasted.

    Returns:
        [n] on the CPU.
    """
    found = []
    for part in index.to(variant.assignment.device).split(batch_size(variant)):
        batch = variant.batch(part)
        found.append(share_on_object(saliency(method, learner, batch.image, batch.label), batch.mask).cpu())
    return torch.cat(found)


def mean_share(share: Tensor) -> float:
    """The mean of shares ([n]) that are no NaN; NaN if none is left."""
    return share.double().nanmean().item()


def object_saliency(method: Method, learner: Learner, variant: Variant) -> float:
    """The mean share of the input gradient on the object, over at most `IMAGES` examples spread over the variant."""
    return mean_share(shares(method, learner, variant, spread(len(variant), IMAGES), input_gradient))


@component
class Saliency(Evaluator):
    """`<split>/<variant>/object_saliency`: the mean share of the input gradient that lies on the object, over at most
    1,000 pictures of each variant."""

    optional: ClassVar[bool] = True

    def measure(self, found: SplitResult) -> Notes:
        return Notes(
            {
                variant_metric(found.split, name, OBJECT_SALIENCY): object_saliency(
                    found.method, found.learner, variant.pictured()
                )
                for name, variant in found.variants.items()
            }
        )
