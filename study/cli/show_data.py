"""`study show-data`: a picture of every variant of a dataset."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from bgbias.config import RunConfig
from bgbias.data.datasets import datasets
from bgbias.methods.erm import Erm
from study.cli.options import Data, Settings, png_file
from study.cli.overrides import parse_settings
from study.display import results


def show_data(
    dataset: Annotated[str, typer.Argument(help="a dataset's name")],
    out: Annotated[Path, typer.Option(metavar="PNG", callback=png_file, help="file to write")],
    data: Data = None,
    settings: Settings = None,
    dilation: Annotated[int, typer.Option(min=0, help="show rims of this many pixels too")] = 0,
) -> None:
    """Draw a picture of every variant of a dataset."""
    from study.inspect import dataset as pictures

    chosen = {
        "dataset/name": datasets.find(dataset).name(),
        "method/name": Erm.name(),
        **parse_settings(settings or []),
    }
    found = RunConfig.from_flat(chosen).dataset.load(data)
    out.parent.mkdir(parents=True, exist_ok=True)
    pictures.show_data(found.dilated(dilation)).save(out)
    results.print(escape(f"wrote {out}"), soft_wrap=True)
