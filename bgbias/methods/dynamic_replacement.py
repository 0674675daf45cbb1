"""Dynamic background replacement: each time an example is seen, its background is redrawn with chance p."""

import torch
from torch import Generator, Tensor

from bgbias.components import Share, component
from bgbias.data.assignment import of_random_class
from bgbias.methods.method import Method
from bgbias.types import Backgrounds


@component
class DynamicReplacement(Method):
    """
    p: chance in [0, 1] that an example's background is replaced by one of a random class

    Source: "Mitigating image background bias in DNN" (2022), dynamic mixed_rand.
    """

    p: Share = 0.5

    def assign(self, background: Tensor, backgrounds: Backgrounds, generator: Generator) -> Tensor:
        return redraw(background, backgrounds.label, self.p, generator)


def redraw(background: Tensor, background_label: Tensor, p: float, generator: Generator) -> Tensor:
    """With chance p each, a background of a random class instead of the one given.

    Args:
        background: [B] int64, an assignment.
        background_label: [M] int64.
        p: in [0, 1].
        generator: on the tensors' device.
    """
    drawn = of_random_class(len(background), background_label, generator)
    replaced = torch.rand(len(background), generator=generator, device=generator.device) < p
    return torch.where(replaced, drawn, background)
