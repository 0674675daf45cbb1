"""Dynamic background replacement: each time an example is seen, its background is redrawn with chance p."""

from typing import ClassVar

import torch
from torch import Generator, Tensor

from bgbias.components import Share, component
from bgbias.data.assignment import of_random_class
from bgbias.methods.method import Learner, Method
from bgbias.types import Examples


@component
class DynamicReplacement(Method):
    """Replace an example's background at random, anew each time that it is used.

    p: chance in [0, 1] that an example's background is replaced by one of a random class

    Supervision: mask, background
    Cost: ERM's
    Source: "Mitigating image background bias in DNN" (2022), dynamic mixed_rand.
    """

    needs_masks: ClassVar[bool] = True

    p: Share = 0.5

    def assign(self, learner: Learner, examples: Examples, rng: Generator) -> Tensor:
        return redraw(examples.background, examples.backgrounds.place, self.p, rng)


def redraw(background: Tensor, background_place: Tensor, p: float | Tensor, generator: Generator) -> Tensor:
    """With chance p each, a background of a random class instead of the one given.

    Args:
        background: [B] int64, an assignment.
        background_place: [M] int64.
        p: in [0, 1], one for all or [B].
        generator: on the tensors' device.
    """
    drawn = of_random_class(len(background), background_place, generator)
    replaced = torch.rand(len(background), generator=generator, device=generator.device) < p
    return torch.where(replaced, drawn, background)
