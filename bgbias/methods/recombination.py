"""Recombination: objects are scaled, shifted and rotated, and pasted on other backgrounds."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor

from bgbias.components import NonNegative, Share, component
from bgbias.data.compose import unit
from bgbias.data.dataset import Augmenter, Dataset
from bgbias.methods.dynamic_replacement import DynamicReplacement
from bgbias.methods.method import Learner, Output
from bgbias.types import OWN_BACKGROUND, Backgrounds, Batch, Foregrounds, at

SMOOTHING = "label_smoothing"


@component
class Recombination(DynamicReplacement):
    """Dynamic replacement with objects that are scaled, rotated and shifted, and with smoothed labels.

    Each time an example is seen its object is turned about its own centre. Photographs that keep their own background
    are shown as they are, because what lies behind the object is not in them.

    p: chance in [0, 1] that an example's background is replaced by one of a random class; published 1
    scale: in [0, 1); an object's size is multiplied by a factor uniform in [1 - scale, 1 + scale]; published 0.5
    rotation: degrees, >= 0; angles are uniform in [-rotation, rotation]; published 30
    shift: in [0, 1], of the picture's side; shifts are uniform in [-shift, shift] in both directions; published 1/7
    label_smoothing: in [0, 1], the share of the label that all classes have alike; published 0.1

    Supervision: mask, background
    Cost: ERM's, and one resampling of each picture
    Sources: AutoBackSwap, 2026 (arXiv 2606.32018), which also in-paints, learns its masks and weights the classes in
    its loss; T. Nauen et al., "ForAug", 2025 (arXiv 2503.09399).
    """

    needs_pixels: ClassVar[bool] = True

    p: Share = 0.8
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.5
    rotation: NonNegative = 30.0
    shift: Share = 0.14
    label_smoothing: Share = 0.1

    def prepare(self, dataset: Dataset, rng: Generator) -> Dataset:
        return replace(dataset, augmentation=Placing(dataset.augmentation, self.scale, self.rotation, self.shift))

    def penalties(self, learner: Learner, batch: Batch, output: Output, rng: Generator) -> dict[str, Tensor]:
        return {SMOOTHING: smoothing(output.log_probability, batch.label, self.label_smoothing)}


def smoothing(log_probability: Tensor, label: Tensor, share: float) -> Tensor:
    """Compute the term that turns cross-entropy into that of smoothed labels when added to it: [B].

    Args:
        log_probability: [B, K].
        label: [B] int64.
        share: in [0, 1], spread over all K classes.
    """
    own = log_probability.gather(1, label[:, None])[:, 0]
    return share * (own - log_probability.mean(dim=1))


@dataclass(frozen=True)
class Turns:
    """Random transformations of B objects.

    scale: [B] > 0; angle: [B], radians; shift: [B, 2], across and down, in shares of the side
    inner: the draw of the augmentation that is applied after them
    """

    scale: Tensor
    angle: Tensor
    shift: Tensor
    inner: object


@dataclass(frozen=True)
class Placing:
    """Objects turned and pasted, after what the dataset itself does to its pictures.

    inner: how the dataset augments pictures; None leaves them as they are
    scale, rotation, shift: as of `Recombination`
    """

    inner: Augmenter | None
    scale: float
    rotation: float
    shift: float

    def draw(self, n: int, side: int, rng: Generator) -> Turns:
        """Draw the transformations of n objects in pictures of `side` pixels."""
        draw = 2 * torch.rand(4, n, generator=rng, device=rng.device) - 1
        return Turns(
            scale=1 + self.scale * draw[0],
            angle=math.radians(self.rotation) * draw[1],
            shift=self.shift * draw[2:].T,
            inner=self.inner.draw(n, side, rng) if self.inner else None,
        )

    def finish(
        self, front: Foregrounds, back: Backgrounds, index: Tensor, background: Tensor, drawn: Turns
    ) -> tuple[Tensor, Tensor]:
        """Finished examples at `index` ([B] int64) on the given backgrounds ([B] int64).

        Returns:
            image: [B, C, H, W] float; mask: [B, 1, H, W] bool.
        """
        first = torch.zeros(len(back) + 1, dtype=torch.int64, device=index.device)
        behind = replace(front, image=back.image, mask=at(front.mask, first))
        image, mask = self._shown(front, back, index, drawn)
        scenery, _ = self._shown(behind, back, background.clamp(min=-1) % (len(back) + 1), drawn)
        turned_image, turned_mask = turned(image, mask, drawn)
        own = (background == OWN_BACKGROUND)[:, None, None, None]
        return (
            torch.where(own, image, torch.where(turned_mask, turned_image, scenery)),
            torch.where(own, mask, turned_mask),
        )

    def _shown(self, front: Foregrounds, back: Backgrounds, index: Tensor, drawn: Turns) -> tuple[Tensor, Tensor]:
        """Whole pictures at `index` and their masks."""
        if self.inner is None:
            return unit(front.image[index]), front.mask[index]
        return self.inner.finish(front, back, index, torch.full_like(index, OWN_BACKGROUND), drawn.inner)


def turned(image: Tensor, mask: Tensor, turns: Turns) -> tuple[Tensor, Tensor]:
    """Scale and rotate objects about the centres of their masks, then shift them.

    Args:
        image: [B, C, H, W] float.
        mask: [B, 1, H, W] bool.

    Returns:
        The same shapes; black and no object where nothing was.
    """
    centre = centre_of(mask)
    cos, sin = turns.angle.cos() / turns.scale, turns.angle.sin() / turns.scale
    inverse = torch.stack([torch.stack([cos, sin], dim=1), torch.stack([-sin, cos], dim=1)], dim=1)
    target = centre + 2 * turns.shift
    offset = centre - (inverse @ target[:, :, None])[:, :, 0]
    grid = F.affine_grid(torch.cat([inverse, offset[:, :, None]], dim=2), list(mask.shape), align_corners=False)
    layers = torch.cat([image, mask.to(image.dtype)], dim=1)
    found = F.grid_sample(layers, grid.to(image.dtype), align_corners=False, padding_mode="zeros")
    return found[:, :-1], found[:, -1:] >= 0.5


def centre_of(mask: Tensor) -> Tensor:
    """The mean position of each object, [B, 2] across and down in [-1, 1]; 0 where there is none."""
    weight = mask[:, 0].float()
    height, width = weight.shape[1:]
    across = (2 * torch.arange(width, device=mask.device) + 1) / width - 1
    down = (2 * torch.arange(height, device=mask.device) + 1) / height - 1
    total = weight.sum(dim=(1, 2)).clamp(min=1)
    return torch.stack([(weight.sum(dim=1) @ across) / total, (weight.sum(dim=2) @ down) / total], dim=1)
