"""`study audit`: how much any trained model depends on the background."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from bgbias.errors import SettingError
from study import stopping
from study.cli.options import NEW_FOLDER, SAME_COMMAND, AsJson, Device, MasksFrom, MasksWeights
from study.cli.printing import print_json
from study.display import console, percent, points, results, show_line, show_table
from study.record.lock import new_folder

if TYPE_CHECKING:
    from study.inspect.audit_result import Audit, Estimate

CORES = os.cpu_count() or 1
CACHE_GB = 20.0
GB = 10**9


def audit(
    model: Annotated[
        str,
        typer.Argument(
            help="a checkpoint's folder; timm:NAME or torchvision:NAME, with --weights; a file .onnx, .pt2 "
            "(torch.export) or .pt (TorchScript); or package.module:function of pictures [B, 3, H, W] in [0, 1]"
        ),
    ],
    images: Annotated[
        Path, typer.Option(metavar="DIR", help="pictures: DIR/<class>/<name>.jpg; or a folder of built variants")
    ],
    masks: Annotated[
        Path | None, typer.Option(metavar="DIR", help="masks of the objects, as for `study data build`")
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="boxes in which GrabCut finds the objects, as for `study data build`"),
    ] = None,
    masks_from: MasksFrom = None,
    masks_weights: MasksWeights = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="weights of an architecture: .safetensors or .pt")
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="class folder of each output, in lines such as 281-285,cat; outputs are counted from 0",
            show_default="outputs are the folders in order; 1,000 on ImageNet-9's folders, its map",
        ),
    ] = None,
    normalise: Annotated[
        str,
        typer.Option(
            help="normalisation of pictures that the model expects: own (the architecture's; none for a function; else "
            "imagenet), imagenet, imagenet9, half (-1 to 1) or none (0 to 1)"
        ),
    ] = "own",
    size: Annotated[
        int | None, typer.Option(min=8, help="side of the pictures in pixels", show_default="the model's, or 224")
    ] = None,
    challenge: Annotated[bool, typer.Option("--challenge", help="also run the Background Challenge")] = False,
    backgrounds: Annotated[
        int | None,
        typer.Option(min=2, help="number of backgrounds of the challenge, evenly spread", show_default="all"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder for the page and its JSON file", show_default=NEW_FOLDER)
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="folder that keeps built variants", show_default="~/.cache/bgbias"),
    ] = None,
    cache_gb: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="GB",
            help="largest size of the cache; variants unused for the longest time are deleted, but none that was used "
            "in the last hour",
        ),
    ] = CACHE_GB,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="leave out pictures that are unreadable or have no mask or box")
    ] = False,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=1, help="torch threads", show_default="one for each core")] = CORES,
    as_json: AsJson = False,
) -> None:
    """Audit any trained model: how much it depends on the background.

    Writes one page on the model and any pictures with masks or boxes. The variants of ImageNet-9 are built from the
    pictures once and kept. ImageNet's 1,000 outputs are scored as the folders' classes. Open models and functions only
    from whom you trust.
    """
    from study.cluster import process
    from study.inspect import audit as audits
    from study.inspect import audit_cache, audit_data, audit_page
    from study.inspect.challenge import STATE

    if backgrounds is not None and not challenge:
        raise SettingError("--backgrounds is of the Background Challenge: give --challenge too, or leave it out")
    process.set_up(threads)
    stopping.on_stop(SAME_COMMAND)
    request = audits.Request(
        model=model,
        images=images,
        masks=masks,
        boxes=boxes,
        masks_from=masks_from,
        masks_weights=masks_weights,
        weights=weights,
        classes=classes,
        normalise=normalise,
        size=size,
        cache=cache or audit_data.CACHE,
        skip_bad=skip_bad,
        device=device,
        workers=CORES,
    )
    subject = audits.subject(request)
    target = out or new_folder("audit")
    target.mkdir(parents=True, exist_ok=True)
    found, pictures = audits.audit(subject, (backgrounds or 0) if challenge else None, target / STATE)
    page = audit_page.write(found, pictures, target).absolute()
    for folder, size in audit_cache.prune(request.cache, Path(found.data), round(cache_gb * GB)).items():
        told = f"deleted {folder} ({size / GB:.2f} GB): variants that an audit built and that are out of date, or over "
        show_line(f"[dim]{escape(told)}--cache-gb {cache_gb:g}[/]")
    if as_json:
        print_json({**found.to_json(), "page": str(page)})
        return
    _print_audit(found)
    results.print(escape(f"wrote {page}"), soft_wrap=True)


def _print_audit(found: "Audit") -> None:
    name = found.model["name"]
    table = Table("variant", "accuracy", "95 %", "worst class", title=escape(f"{name}, accuracy on every variant"))
    for variant, one in found.variants.items():
        worst = f"{one.worst_class} {percent(one.worst_class_accuracy.value)}"
        table.add_row(variant, percent(one.accuracy.value), _span(one.accuracy), escape(worst))
    show_table(table)
    gap = found.bg_gap
    results.print(f"BG-Gap: {points(gap.value)} points ({points(gap.low)} to {points(gap.high)})", soft_wrap=True)
    if found.challenge is not None:
        done = found.challenge
        results.print(
            f"challenge: {percent(done.robust.value)} ({_span(done.robust)}) of {done.objects} objects are right on "
            f"all {done.backgrounds} backgrounds",
            soft_wrap=True,
        )
    for line in found.advice:
        results.print(escape(line), soft_wrap=True)
    console.print(f"[dim]variants: {escape(found.data)}[/]", soft_wrap=True)


def _span(estimate: "Estimate") -> str:
    return f"{percent(estimate.low)} to {percent(estimate.high)}"
