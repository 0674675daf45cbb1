"""`study saliency`: where a checkpoint looks."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from study.cli.options import AsJson, Data, Device, Threads, png_file
from study.cli.printing import print_json
from study.display import results, show_table
from study.record.analyses import SALIENCY, leave


def saliency(
    checkpoint: Annotated[Path, typer.Argument(help="a checkpoint's folder")],
    out: Annotated[Path, typer.Option(metavar="PNG", callback=png_file, help="file for the images, masks and maps")],
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT", help="a second checkpoint of the same dataset to compare with, such as ERM's"
        ),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="a dataset; if left out, the checkpoint's own")] = None,
    data: Data = None,
    count: Annotated[int, typer.Option(min=1, help="images of each test variant to measure")] = 100,
    drawn: Annotated[int, typer.Option(min=1, help="images to draw, each in two variants")] = 3,
    device: Device = "auto",
    threads: Threads = 1,
    as_json: AsJson = False,
) -> None:
    """Measure the share of saliency on the object, and draw the maps.

    Compare each share with the object's share of the picture's area: a map without structure would have that share.
    """
    from study.cluster import process
    from study.inspect import saliency as maps
    from study.training import single

    process.set_up(threads)
    trained = single.load_trained(checkpoint, dataset, data, device)
    beside = single.load_beside(against, trained) if against else None
    out.parent.mkdir(parents=True, exist_ok=True)
    measured = [maps.measure_shares(checkpoint, trained, count)]
    if against and beside:
        measured.append(maps.measure_shares(against, beside, count))
    checkpoints = [beside, trained] if beside else [trained]
    examples = maps.example_maps(checkpoints, drawn)
    methods = [one.config.method.name() for one in checkpoints]
    maps.saliency_picture(examples, methods, trained.dataset).save(out)
    first, *others = (one.to_json() for one in measured)
    described = {"dataset": trained.dataset.name, "picture": str(out.absolute()), **first}
    if dataset is None:
        leave(checkpoint, SALIENCY, described)
        for folder, found in zip([against] if against else [], others, strict=True):
            leave(folder, SALIENCY, found)
    if as_json:
        print_json(described | ({"against": others[0]} if others else {}))
        return
    show_table(maps.table(trained.dataset, measured))
    results.print(escape(f"wrote {out}"), soft_wrap=True)
