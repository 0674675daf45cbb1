"""Saliency maps, and the share of a map's sum that falls on the object.

Compare a share with the share of the picture's area that the mask covers: a uniform map puts just that share on the
object. A smaller share means that a classifier looks at the background, a larger one that it looks at the object.

Maps differentiate the label's logit minus the mean of all logits. Adding a number to all logits changes neither
predictions nor the loss, so training does not determine how that number depends on the picture, and maps exclude it.
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
"""Pixels of all pictures of one backward pass."""
STEPS = 32
"""Steps on the path from black to the picture; M. Sundararajan et al. recommend 20 to 300."""
IMAGES = 1000
"""The largest number of examples of a variant's mean share."""

SaliencyMap = Callable[[Method, Learner, Tensor, Tensor], Tensor]
"""From a method, its learner, images [B, C, H, W] and labels [B] int64 to maps [B, H, W] >= 0."""


def input_gradient(method: Method, learner: Learner, image: Tensor, label: Tensor) -> Tensor:
    """Compute |d score of the label / d image|, summed over channels.

    Source: K. Simonyan et al., "Deep Inside Convolutional Networks", 2013 (arXiv 1312.6034), section 3.

    Args:
        method: computes logits.
        learner: is put into eval mode; its parameters' gradients stay unchanged.
        image: [B, C, H, W] float.
        label: [B] int64.

    Returns:
        [B, H, W] >= 0.
    """
    from captum.attr import Saliency  # imported here, since it takes half a second and few runs need it

    learner.eval()
    saliency = Saliency(lambda picture: scores(logits_of(method, learner, picture)))
    found = [
        saliency.attribute(picture.detach().requires_grad_(), target=target)
        for picture, target in in_passes(image, label)
    ]
    return torch.cat(found).sum(dim=1)


def integrated_gradients(method: Method, learner: Learner, image: Tensor, label: Tensor, steps: int = STEPS) -> Tensor:
    """Compute |image * mean of d score of the label / d image on the straight path from black|, summed over channels.

    Before the absolute value, a map's sum is the picture's score minus that of a black picture. Black pixels get 0.
    Source: M. Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017 (arXiv 1703.01365), equation 1.

    Args:
        method: computes logits.
        learner: is put into eval mode; its parameters' gradients stay unchanged.
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
    """Subtract from logits [B, K] their mean over the classes, which softmax ignores."""
    return logits - logits.mean(dim=1, keepdim=True)


def images_in_a_pass(image: Rows) -> int:
    """Return how many images like these ([B, C, H, W]) fit one backward pass, >= 1."""
    return max(1, PASS_PIXELS // math.prod(image.shape[2:]))


def in_passes(image: Tensor, label: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Split images and labels into parts of one backward pass."""
    size = images_in_a_pass(image)
    return zip(image.split(size), label.split(size), strict=True)


def share_on_object(saliency: Tensor, mask: Tensor) -> Tensor:
    """Compute the sum of a map inside the mask / sum of the map.

    Args:
        saliency: [B, H, W] >= 0.
        mask: [B, 1, H, W] bool, True = object.

    Returns:
        [B] in [0, 1]; NaN where a map is zero everywhere. `mean_share` leaves these out.
    """
    inside = (saliency * mask[:, 0]).sum(dim=(1, 2))
    return inside / saliency.sum(dim=(1, 2))


def mask_area(mask: Tensor) -> Tensor:
    """Compute the share of each picture's area that its mask ([B, 1, H, W] bool) covers: [B] in [0, 1]."""
    return mask.double().mean(dim=(1, 2, 3))


def shares(method: Method, learner: Learner, variant: Variant, index: Tensor, saliency: SaliencyMap) -> Tensor:
    """Compute the share on the object for the examples at `index` ([n] int64) of a variant on the learner's device.

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
    """Compute the mean of shares ([n]) without NaN; NaN if none is left."""
    return share.double().nanmean().item()


def object_saliency(method: Method, learner: Learner, variant: Variant) -> float:
    """The mean share of the input gradient on the object, over at most `IMAGES` examples spread over the variant."""
    return mean_share(shares(method, learner, variant, spread(len(variant), IMAGES), input_gradient))


@component
class Saliency(Evaluator):
    """The mean share of the input gradient on the object, over at most 1,000 pictures of each variant.

    `<split>/<variant>/object_saliency`.
    """

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
