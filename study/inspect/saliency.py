"""Where checkpoints look: the share of saliency on the object for every variant, and a picture of maps."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from rich.table import Column, Table
from torch import Tensor

from bgbias.data.dataset import ORIGINAL, Dataset, Variant, spread
from bgbias.evaluation.saliency import MAPS, mask_area, mean_share, share_on_object, shares
from bgbias.methods.method import logits_of
from bgbias.types import Batch
from study.display import percent, progress_bar
from study.inspect.challenge import named
from study.record.objectives import shifted_variant
from study.training.single import Trained

GAMMA = 0.5
"""The power of a map that is drawn, so that one strong pixel does not hide all others."""
COLOURS, OUTLINE = "inferno", "cyan"
WRONG = "firebrick"
"""The colour of a wrong prediction."""
LETTERS, LETTERS_PER_INCH = 20, 12
"""How wide a column is, and how wide letters of the title are."""
SIDE, ROW, GAP = 1.5, 2.05, 0.1
"""A panel's side and a row's height, in inches, and the gap before each checkpoint's maps, in panels."""


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
    """What a checkpoint makes of n examples, on the CPU.

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


def measure_shares(checkpoint: Path, trained: Trained, images: int) -> CheckpointShares:
    """Measure the shares of every test variant over at most `images` images, evenly spread; with progress."""
    variants, method = trained.dataset.test, trained.config.method.name()
    bar = progress_bar(variants.items(), f"saliency of {method}", len(variants))
    return CheckpointShares(checkpoint, method, {name: shares_of(trained, variant, images) for name, variant in bar})


def shares_of(trained: Trained, variant: Variant, images: int) -> Shares:
    """The shares of one variant."""
    config, index = trained.config, spread(len(variant), images)
    mask = variant.foregrounds.mask[index.to(trained.device)]
    with config.training.arithmetic(trained.device):
        found = {
            kind: mean_share(shares(config.method, trained.learner, variant, index, saliency))
            for kind, saliency in MAPS.items()
        }
    return Shares(len(index), mask_area(mask).mean().item(), found)


def example_maps(checkpoints: Sequence[Trained], count: int) -> dict[str, SaliencyExamples]:
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


def maps_of(trained: Trained, batch: Batch) -> Maps:
    """A checkpoint's maps of a batch on its device."""
    method, learner = trained.config.method, trained.learner
    with trained.config.training.arithmetic(trained.device):
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


def saliency_figure(examples: Mapping[str, SaliencyExamples], methods: Sequence[str], dataset: Dataset) -> Figure:
    """Each example in each variant, a row each: the image, its mask, and every checkpoint's maps.

    methods: of the checkpoints; where there are two, the first is what was before
    """
    kinds = list(next(iter(examples.values())).maps[0].saliency)
    numbers = range(len(next(iter(examples.values())).label))
    rows = [(name, shown, number) for number in numbers for name, shown in examples.items()]
    widths = [1, 1, *[GAP, *[1] * len(kinds)] * len(methods)]
    width = SIDE * sum(widths) + 0.4
    figure = Figure(figsize=(width, ROW * len(rows) + 1.3), layout="constrained")
    figure.suptitle(
        "\n".join(textwrap.fill(line, int(LETTERS_PER_INCH * width)) for line in legend(dataset)), fontsize=10
    )
    panels = figure.subplots(len(rows), len(widths), squeeze=False, width_ratios=widths)
    for axes_row, (name, shown, number) in zip(panels, rows, strict=True):
        draw_row(axes_row, shown, number, dataset.classes)
        axes_row[0].set_ylabel(name, fontsize=10, fontweight="bold")
    for axes, heading in zip(panels[0], headings(kinds, methods), strict=True):
        axes.set_title(heading, fontsize=8.5, fontweight="bold")
    return figure


def legend(dataset: Dataset) -> tuple[str, ...]:
    """What the picture shows, in lines."""
    return (
        f"Pixels that the label's score depends on: test images of {dataset.name}",
        "below a mask: its share of the picture; below a map: the prediction, and the map's share inside the mask",
        "every map from 0 to its own maximum, as square roots",
    )


def headings(kinds: Sequence[str], methods: Sequence[str]) -> list[str]:
    """What stands above the columns."""
    when = ["before\n", "after\n"] if len(methods) > 1 else [""]
    found = ["image", "object mask"]
    for word, method in zip(when, methods, strict=True):
        found += ["", *(f"{word}{in_words(method)}\n{in_words(kind)}" for kind in kinds)]
    return found


def in_words(name: str) -> str:
    """A name on as many lines as a column needs."""
    return textwrap.fill(name.replace("_", " "), LETTERS)


def draw_row(row: Sequence[Axes], shown: SaliencyExamples, number: int, classes: tuple[str, ...]) -> None:
    """One example."""
    mask = shown.mask[number, 0]
    panels = iter(row)
    draw_panel(next(panels), shown.image[number].clamp(0, 1).permute(1, 2, 0).expand(-1, -1, 3))
    write_below(row[0], f"label {classes[shown.label[number]]}")
    draw_panel(next(panels), mask.float(), cmap="gray", norm=Normalize(0, 1))
    write_below(row[1], percent(mask.float().mean().item()))
    for maps in shown.maps:
        next(panels).set_axis_off()
        for kind in maps.saliency:
            draw_map(next(panels), maps, kind, shown, number, classes)


def draw_map(axes: Axes, maps: Maps, kind: str, shown: SaliencyExamples, number: int, classes: tuple[str, ...]) -> None:
    """One map with the mask's outline, the prediction, and the share on the object."""
    saliency, mask, prediction = maps.saliency[kind][number], shown.mask[number, 0], int(maps.prediction[number])
    norm = PowerNorm(GAMMA, vmin=0, vmax=saliency.max().item() or 1)
    draw_panel(axes, saliency, cmap=COLOURS, norm=norm)
    if mask.any() and not mask.all():
        axes.contour(mask.float().numpy(), levels=[0.5], colors=OUTLINE, linewidths=0.7)
    write_below(axes, f"predicted {named(classes, prediction)}", percent(maps.share[kind][number].item()))
    axes.xaxis.label.set_color("black" if prediction == shown.label[number] else WRONG)


def write_below(axes: Axes, *lines: str) -> None:
    """Lines below a panel, those that are too long for it on more."""
    axes.set_xlabel("\n".join(textwrap.fill(line, LETTERS) for line in lines), fontsize=9)


def draw_panel(axes: Axes, picture: Tensor, cmap: str | None = None, norm: Normalize | None = None) -> None:
    """A picture without ticks."""
    axes.imshow(picture.numpy(), interpolation="nearest", cmap=cmap, norm=norm)
    axes.set_xticks([])
    axes.set_yticks([])
