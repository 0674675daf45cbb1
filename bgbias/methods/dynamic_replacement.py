"""Dynamic background replacement: each time an example is seen, its background is redrawn with chance p."""

from typing import Annotated

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Generator

from bgbias.components import CHECKED
from bgbias.data.assignment import of_random_class
from bgbias.data.compose import compose, unit
from bgbias.methods.method import Method
from bgbias.types import Backgrounds, Batch


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class DynamicReplacement(Method):
    """
    p: chance in [0, 1] that an example's background is replaced by one of a random class

    Source: "Mitigating image background bias in DNN" (2022), dynamic mixed_rand.
    """

    p: Annotated[float, Field(ge=0, le=1)] = 0.5

    def augment(self, batch: Batch, backgrounds: Backgrounds, generator: Generator) -> Batch:
        return replace_backgrounds(batch, backgrounds, self.p, generator)


def replace_backgrounds(batch: Batch, backgrounds: Backgrounds, p: float, generator: Generator) -> Batch:
    """With chance p each, put an example's foreground on a background of a random class.

    Args:
        batch: B composed examples.
        p: in [0, 1].
        generator: on the batch's device.

    Returns:
        A new batch; inside the masks every pixel is as before.
    """
    drawn = of_random_class(len(batch), backgrounds.label, generator)
    replaced = torch.rand(len(batch), generator=generator, device=generator.device) < p
    image = compose(batch.mask | ~replaced[:, None, None, None], batch.image, unit(backgrounds.image[drawn]))
    background = torch.where(replaced, drawn, batch.background)
    return Batch(image=image, mask=batch.mask, label=batch.label, background=background)
