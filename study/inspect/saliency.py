"""Saliency of checkpoints: the share on the object for every variant, and a picture of maps."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageChops, ImageFilter
from rich.table import Column, Table
from torch import Tensor

from bgbias.data.dataset import ORIGINAL, Dataset, Variant, spread
from bgbias.evaluation.saliency import MAPS, mask_area, mean_share, share_on_object, shares
from bgbias.methods.method import logits_of
from bgbias.types import Batch
from study.display import percent, progress_bar
from study.inspect.challenge import named
from study.picture_grid import INFERNO, SIDE, Cell, colored, picture_grid, picture_of, scaled
from study.record.objectives import shifted_variant
from study.training.single import LoadedModel

HALF = 127
"""Of a mask's brightness."""
GAMMA = 0.5
"""The power of a map that is drawn, so that one strong pixel does not hide all others."""
OUTLINE, WRONG = "cyan", "firebrick"
"""The colours of a mask's edge and of a wrong prediction."""


@dataclass(frozen=True)
class Shares:
    """The share of a variant's saliency on the objects.

    images: the number of examples of the means
    mask_area: the mean share of a picture that its mask covers, in [0, 1]
    object_saliency: by kind of map the mean share inside the mask, in [0, 1]
    """

    images: int
    mask_area: float
    object_saliency: dict[str, float]


@dataclass(frozen=True)
class CheckpointShares:
    """A checkpoint's shares by test variant."""

    checkpoint: Path
    method: str
    variants: dict[str, Shares]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        variants = {name: asdict(found) for name, found in self.variants.items()}
        return {"checkpoint": str(self.checkpoint.absolute()), "method": self.method, "variants": variants}


@dataclass(frozen=True)
class Maps:
    """A checkpoint's predictions and maps for n examples, on the CPU.

    prediction: [n] int64
    saliency: by kind of map [n, H, W]
    share: by kind of map [n], inside the mask
    """

    prediction: Tensor
    saliency: dict[str, Tensor]
    share: dict[str, Tensor]


@dataclass(frozen=True)
class SaliencyExamples:
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


def measure_shares(checkpoint: Path, trained: LoadedModel, images: int) -> CheckpointShares:
    """Measure the shares of every test variant over at most `images` images, evenly spread; with progress."""
    variants, method = trained.dataset.test, trained.config.method.name()
    bar = progress_bar(variants.items(), f"saliency of {method}", len(variants))
    return CheckpointShares(checkpoint, method, {name: shares_of(trained, variant, images) for name, variant in bar})


def shares_of(trained: LoadedModel, variant: Variant, images: int) -> Shares:
    """The shares of one variant."""
    config, index = trained.config, spread(len(variant), images)
    mask = variant.foregrounds.mask[index.to(trained.device)]
    with config.evaluation_arithmetic(trained.device):
        found = {
            kind: mean_share(shares(config.method, trained.learner, variant, index, saliency))
            for kind, saliency in MAPS.items()
        }
    return Shares(len(index), mask_area(mask).mean().item(), found)


def example_maps(checkpoints: Sequence[LoadedModel], count: int) -> dict[str, SaliencyExamples]:
    """The same objects in `original` and in the variant that searches are evaluated on.

    checkpoints: with one dataset between them
    """
    dataset = checkpoints[0].dataset
    names = dict.fromkeys((ORIGINAL, shifted_variant(dataset.name)))
    variants = [dataset.test[name] for name in names]
    found = {}
    for name, variant, index in zip(names, variants, same_objects(variants, count), strict=True):
        batch = variant.batch(index)
        maps = [maps_of(trained, batch) for trained in checkpoints]
        found[name] = SaliencyExamples(batch.image.cpu(), batch.mask.cpu(), batch.label.cpu(), maps)
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


def maps_of(trained: LoadedModel, batch: Batch) -> Maps:
    """A checkpoint's maps of a batch on its device."""
    method, learner = trained.config.method, trained.learner
    with trained.config.evaluation_arithmetic(trained.device):
        saliency = {kind: find(method, learner, batch.image, batch.label) for kind, find in MAPS.items()}
        with torch.no_grad():
            prediction = logits_of(method, learner, batch.image).argmax(dim=1)
    share = {kind: share_on_object(found, batch.mask).cpu() for kind, found in saliency.items()}
    return Maps(prediction.cpu(), {kind: found.float().cpu() for kind, found in saliency.items()}, share)


def table(dataset: Dataset, checkpoints: Sequence[CheckpointShares]) -> Table:
    """The share of saliency on the object, for each test variant and checkpoint."""
    variants = checkpoints[0].variants
    columns: list[str | Column] = ["variant", "images", "object's\narea", Column("method", no_wrap=True)]
    columns += [kind.replace("_", "\n") for kind in MAPS]
    found = Table(*columns, title=f"share of saliency on the object, test variants of {dataset.name}")
    for name, first in variants.items():
        found.add_section()
        for one in checkpoints:
            shares = one.variants[name].object_saliency
            cells = (percent(shares[kind]) for kind in MAPS)
            found.add_row(name, str(first.images), percent(first.mask_area), one.method, *cells)
    return found


def saliency_picture(examples: Mapping[str, SaliencyExamples], methods: Sequence[str], dataset: Dataset) -> Image.Image:
    """Each example in each variant, a row each: the image, its mask, and every checkpoint's maps.

    methods: of the checkpoints; where there are two, the first is what was before
    """
    first = next(iter(examples.values()))
    kinds = list(first.maps[0].saliency)
    rows = [(name, shown, number) for number in range(len(first.label)) for name, shown in examples.items()]
    return picture_grid(
        [cells(shown, number, dataset.classes) for _, shown, number in rows],
        [name for name, _, _ in rows],
        headings(kinds, methods),
        legend(dataset),
        apart=[2 + at * len(kinds) for at in range(len(methods))],
    )


def legend(dataset: Dataset) -> str:
    """Explanation of the picture."""
    return (
        f"Pixels that the label's score depends on: test images of {dataset.name}\n"
        "below a mask: its share of the picture; below a map: the prediction, and the map's share inside the mask\n"
        "every map from 0 to its own maximum, as square roots"
    )


def headings(kinds: Sequence[str], methods: Sequence[str]) -> list[str]:
    """Headings of the columns."""
    when = ["before\n", "after\n"] if len(methods) > 1 else [""]
    of_maps = [f"{word}{method}\n{kind}" for word, method in zip(when, methods, strict=True) for kind in kinds]
    return ["image", "object mask", *(heading.replace("_", " ") for heading in of_maps)]


def cells(shown: SaliencyExamples, number: int, classes: tuple[str, ...]) -> list[Cell]:
    """One example: the image, its mask and all maps."""
    mask, label = shown.mask[number, 0], int(shown.label[number])
    found = [
        Cell(picture_of(shown.image[number].numpy()), f"label {classes[label]}"),
        Cell(picture_of(mask.numpy()), percent(mask.float().mean().item())),
    ]
    for maps in shown.maps:
        prediction = int(maps.prediction[number])
        for kind, saliency in maps.saliency.items():
            caption = f"predicted {named(classes, prediction)}\n{percent(maps.share[kind][number].item())}"
            picture = map_picture(saliency[number], mask)
            found.append(Cell(picture, caption, "black" if prediction == label else WRONG))
    return found


def map_picture(saliency: Tensor, mask: Tensor) -> Image.Image:
    """A map [H, W], from 0 to its maximum to the power `GAMMA`, and the outline of a mask [H, W]."""
    shares = (saliency / (saliency.max().item() or 1)).clamp(min=0) ** GAMMA
    picture = scaled(Image.fromarray(colored(shares.numpy(), INFERNO)), SIDE)
    inside = scaled(picture_of(mask.numpy()).convert("L"), SIDE).point(lambda value: 255 * (value > HALF))
    edge = ImageChops.difference(inside, inside.filter(ImageFilter.MinFilter(3)))
    picture.paste(OUTLINE, mask=edge)
    return picture
