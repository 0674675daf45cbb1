"""Where checkpoints look: the share of saliency on the object for every variant, and maps to be drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bgbias.data.dataset import ORIGINAL, Variant, spread
from bgbias.data.datasets import datasets
from bgbias.evaluation.saliency import MAPS, mask_area, mean_share, share_on_object, shares
from bgbias.metrics import OBJECT_SALIENCY
from bgbias.types import Batch
from study.display import progress_bar
from study.training.single import Trained


@dataclass(frozen=True)
class Shares:
    """How much of a variant's saliency lies on the objects.

    images: how many examples the means are over
    mask_area: the mean share of a picture that its mask covers, in [0, 1]
    object_saliency: by kind of map the mean share inside the mask, in [0, 1]
    """

    images: int
    mask_area: float
    object_saliency: dict[str, float]


@dataclass(frozen=True)
class Maps:
    """What a checkpoint makes of n examples, on the CPU.

    answer: [n] int64
    saliency: by kind of map [n, H, W]
    share: by kind of map [n], inside the mask
    """

    answer: Tensor
    saliency: dict[str, Tensor]
    share: dict[str, Tensor]


@dataclass(frozen=True)
class Examples:
    """n examples of a variant, on the CPU.

    image: [n, C, H, W] float, full brightness = 1
    mask: [n, 1, H, W] bool
    label: [n] int64
    maps: one for each checkpoint
    """

    image: Tensor
    mask: Tensor
    label: Tensor
    maps: list[Maps]


def judge(trained: Trained, images: int) -> dict[str, Shares]:
    """The shares of every test variant over at most so many images, evenly spread over it; with progress."""
    variants = trained.dataset.test
    bar = progress_bar(variants.items(), f"saliency of {trained.config.method.name()}", len(variants))
    return {name: shares_of(trained, variant, images) for name, variant in bar}


def shares_of(trained: Trained, variant: Variant, images: int) -> Shares:
    """The shares of one variant."""
    config, index = trained.config, spread(len(variant), images)
    mask = variant.foregrounds.mask[index.to(trained.device)]
    with config.training.arithmetic(trained.device):
        found = {
            kind: mean_share(shares(config.method, trained.module, variant, index, saliency))
            for kind, saliency in MAPS.items()
        }
    return Shares(len(index), mask_area(mask).mean().item(), found)


def example_maps(checkpoints: Sequence[Trained], count: int) -> dict[str, Examples]:
    """The same objects in `original` and in the variant that searches are judged on.

    checkpoints: with one dataset between them
    """
    dataset = checkpoints[0].dataset
    names = dict.fromkeys((ORIGINAL, datasets.find(dataset.name).objective))
    variants = [dataset.test[name] for name in names]
    found = {}
    for name, variant, index in zip(names, variants, same_objects(variants, count), strict=True):
        batch = variant.batch(index)
        maps = [maps_of(trained, batch) for trained in checkpoints]
        found[name] = Examples(batch.image.cpu(), batch.mask.cpu(), batch.label.cpu(), maps)
    return found


def same_objects(variants: Sequence[Variant], count: int) -> list[Tensor]:
    """For each variant the indices ([n] int64, n <= count) of the same objects, such that occur in all.

    The first of each class comes first, then the second of each.
    """
    source, label = variants[0].foregrounds.source, variants[0].foregrounds.label
    common = torch.stack([torch.isin(source, variant.foregrounds.source) for variant in variants]).all(dim=0)
    chosen = source[common][class_by_class(label[common])[:count]]
    return [(variant.foregrounds.source == chosen[:, None]).int().argmax(dim=1) for variant in variants]


def class_by_class(label: Tensor) -> Tensor:
    """The order ([N] int64) of examples in which the first of each class comes first, then the second of each."""
    occurrence = F.one_hot(label).cumsum(dim=0).gather(1, label[:, None])[:, 0]
    return (occurrence * (label.max() + 1) + label).argsort()


def maps_of(trained: Trained, batch: Batch) -> Maps:
    """A checkpoint's maps of a batch on its device."""
    method, module = trained.config.method, trained.module
    with trained.config.training.arithmetic(trained.device):
        saliency = {kind: find(method, module, batch.image, batch.label) for kind, find in MAPS.items()}
        with torch.no_grad():
            answer = method.predict(module, batch.image).argmax(dim=1)
    share = {kind: share_on_object(found, batch.mask).cpu() for kind, found in saliency.items()}
    return Maps(answer.cpu(), {kind: found.float().cpu() for kind, found in saliency.items()}, share)


def to_json(folder: Path, trained: Trained, found: dict[str, Shares]) -> dict[str, Any]:
    """Plain values of one checkpoint."""
    variants = {
        name: {"images": shown.images, "mask_area": shown.mask_area, OBJECT_SALIENCY: shown.object_saliency}
        for name, shown in found.items()
    }
    return {"checkpoint": str(folder.absolute()), "method": trained.config.method.name(), "variants": variants}
