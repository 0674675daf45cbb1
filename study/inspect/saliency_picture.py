"""A picture of saliency maps, given what was computed."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from torch import Tensor

from bgbias.data.dataset import Dataset
from study.display import percent
from study.inspect.challenge import named
from study.inspect.saliency import Examples, Maps

GAMMA = 0.5
"""The power of a map that is drawn, so that one strong pixel does not hide all others."""
COLOURS, OUTLINE = "inferno", "cyan"
WRONG = "firebrick"
"""The colour of a wrong answer."""
LETTERS, LETTERS_PER_INCH = 20, 12
"""How wide a column is, and how wide letters of the title are."""
SIDE, ROW, GAP = 1.5, 2.05, 0.1
"""A panel's side and a row's height, in inches, and the gap before each checkpoint's maps, in panels."""


def draw(examples: Mapping[str, Examples], methods: Sequence[str], dataset: Dataset) -> Figure:
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
        f"Which pixels the label's score hangs on: test images of {dataset.name}",
        "below a mask: its share of the picture; below a map: the answer, and the map's share inside the mask",
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


def draw_row(row: Sequence[Axes], shown: Examples, number: int, classes: tuple[str, ...]) -> None:
    """One example."""
    mask = shown.mask[number, 0]
    panels = iter(row)
    draw_panel(next(panels), shown.image[number].clamp(0, 1).permute(1, 2, 0).expand(-1, -1, 3))
    tell(row[0], f"label {classes[shown.label[number]]}")
    draw_panel(next(panels), mask.float(), cmap="gray", vmin=0, vmax=1)
    tell(row[1], percent(mask.float().mean().item()))
    for maps in shown.maps:
        next(panels).set_axis_off()
        for kind in maps.saliency:
            draw_map(next(panels), maps, kind, shown, number, classes)


def draw_map(axes: Axes, maps: Maps, kind: str, shown: Examples, number: int, classes: tuple[str, ...]) -> None:
    """One map with the mask's outline, the answer, and the share on the object."""
    saliency, mask, answer = maps.saliency[kind][number], shown.mask[number, 0], int(maps.answer[number])
    norm = PowerNorm(GAMMA, vmin=0, vmax=saliency.max().item() or 1)
    draw_panel(axes, saliency, cmap=COLOURS, norm=norm)
    if mask.any() and not mask.all():
        axes.contour(mask.float().numpy(), levels=[0.5], colors=OUTLINE, linewidths=0.7)
    tell(axes, f"answer {named(classes, answer)}", percent(maps.share[kind][number].item()))
    axes.xaxis.label.set_color("black" if answer == shown.label[number] else WRONG)


def tell(axes: Axes, *lines: str) -> None:
    """Lines below a panel, those that are too long for it on more."""
    axes.set_xlabel("\n".join(textwrap.fill(line, LETTERS) for line in lines), fontsize=9)


def draw_panel(axes: Axes, picture: Tensor, **options: Any) -> None:
    """A picture without ticks."""
    axes.imshow(picture.numpy(), interpolation="nearest", **options)
    axes.set_xticks([])
    axes.set_yticks([])
