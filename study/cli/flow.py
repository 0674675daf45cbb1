"""`study flow`: how good a checkpoint's flow is."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from study.cli.options import AsJson, Data, Device, Threads
from study.cli.printing import print_json
from study.display import finite, results, show_table
from study.record.analyses import FLOW, leave

REPORT, PAGE = "flow.json", "flow.html"


def flow(
    checkpoint: Annotated[Path, typer.Argument(metavar="DIR|CHECKPOINT", help="a study's folder, or a checkpoint's")],
    out: Annotated[Path, typer.Option(metavar="DIR", help=f"folder for {REPORT} and {PAGE}")],
    samples: Annotated[int, typer.Option(help="samples of the largest vote, a power of two")] = 1024,
    count: Annotated[int, typer.Option(min=20, help="largest number of images of each test variant")] = 1000,
    temperature: Annotated[
        float | None, typer.Option(help="temperature of the samples; if left out, the checkpoint's own")
    ] = None,
    data: Data = None,
    device: Device = "auto",
    threads: Threads = 1,
    as_json: AsJson = False,
) -> None:
    """Measure a flow's fit to true moves of embeddings, and its votes."""
    from study.cluster import process
    from study.inspect import flow as flows
    from study.inspect.flow_page import flow_page
    from study.training import single

    process.set_up(threads)
    found = flows.find_checkpoint(checkpoint)
    report = flows.analyse(found, single.load_trained(found, None, data, device), samples, count, temperature)
    described = {"checkpoint": str(found.absolute()), **flows.to_json(report)}
    out.mkdir(parents=True, exist_ok=True)
    (out / REPORT).write_text(json.dumps(finite(described), indent=1))
    (out / PAGE).write_text(flow_page(report))
    if temperature is None:
        leave(found, FLOW, described)
    if as_json:
        print_json(described)
        return
    for table in flows.tables(report):
        show_table(table)
    results.print(escape(f"wrote {out / REPORT} and {out / PAGE}"), soft_wrap=True)
