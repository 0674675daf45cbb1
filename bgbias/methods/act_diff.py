"""ActDiff: features must not change when the pixels of the background are shuffled."""

from typing import ClassVar

import torch
from torch import Generator, Tensor

from bgbias.components import NonNegative, component
from bgbias.methods.method import Learner, Method, Output
from bgbias.methods.passes import fixed_statistics
from bgbias.types import Batch

ACTIVATION_DIFFERENCE = "activation_difference"


@component
class ActDiff(Method):
    """Cross-entropy plus `difference_weight` times || phi(x) - phi(x') ||_2.

    phi are the features that the head gets, x' is the picture with its background pixels shuffled. The shuffle does not
    change a background of one colour; the penalty is zero there. The second pass uses the statistics of its own batch
    and does not update the running ones.

    difference_weight: >= 0; published from 1e-4 to 10

    Supervision: mask
    Cost: twice ERM's
    Source: J. Viviano et al., "Saliency is a Possible Red Herring When Diagnosing Poor Generalization", 2021
    (arXiv 1910.00199).
    """

    needs_pixels: ClassVar[bool] = True
    needs_masks: ClassVar[bool] = True

    difference_weight: NonNegative = 0.1

    def penalties(self, learner: Learner, batch: Batch, output: Output, rng: Generator) -> dict[str, Tensor]:
        with fixed_statistics(learner.classifier):
            features = learner.classifier.features(shuffled(batch.image.detach(), batch.mask, rng))
        difference = (output.features - features).norm(dim=1)
        return {ACTIVATION_DIFFERENCE: self.difference_weight * difference}


def shuffled(image: Tensor, mask: Tensor, generator: Generator) -> Tensor:
    """Shuffle the pixels of each background, and keep the objects: [B, C, H, W].

    Args:
        image: [B, C, H, W].
        mask: [B, 1, H, W] bool, True = foreground.
        generator: on their device.
    """
    front = mask.flatten(1)
    draw = torch.rand(front.shape, generator=generator, device=generator.device)
    places, sources = front.byte().argsort(dim=1, stable=True), (draw + front).argsort(dim=1)
    here = torch.arange(front.shape[1], device=front.device).expand_as(front)
    moved = torch.where(front, here, torch.empty_like(places).scatter_(1, places, sources))
    return image.flatten(2).gather(2, moved[:, None].expand(-1, image.shape[1], -1)).view_as(image)
