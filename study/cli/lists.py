"""`study spaces`, `study datasets` and `study show-data`: what there is to choose from."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from bgbias.config import RunConfig
from bgbias.data.datasets import datasets
from bgbias.methods import methods
from bgbias.methods.erm import Erm
from bgbias.models import models
from study.cli.options import Data, Settings
from study.cli.overrides import parse_settings
from study.display import results, show_table
from study.space import label, load_space, space_names


def spaces() -> None:
    """List the search spaces, their methods, and what they search."""
    table = Table("space", "method", "searched")
    for name in space_names():
        space = load_space(name)
        domains = "\n".join(f"{key}: {str(value).replace('Distribution', '')}" for key, value in space.params.items())
        table.add_row(label(name), space.method.name(), domains)
    show_table(table)


def list_datasets() -> None:
    """List the datasets, methods and models, with their options."""
    table = Table("kind", "name", "options")
    for kind, known in (("dataset", datasets), ("method", methods), ("model", models)):
        for name, cls in known.items():
            options = ", ".join(f"{f.name}={f.default!r}" for f in dataclasses.fields(cls))  # type: ignore[arg-type]
            table.add_row(kind, name, options)
    show_table(table)


def show_data(
    dataset: Annotated[str, typer.Argument(help="a dataset's name")],
    out: Annotated[Path, typer.Option(help="PNG file to write")],
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
    pictures.show_data(found.dilated(dilation)).savefig(out, dpi=120)
    results.print(escape(f"wrote {out}"), soft_wrap=True)
