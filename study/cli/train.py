"""`study train` and `study adopt`: one checkpoint, without a search."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from bgbias.config import RunConfig
from bgbias.data.datasets import datasets
from bgbias.methods import methods
from bgbias.methods.erm import Erm
from study import stopping
from study.cli.options import NEW_FOLDER, AsJson, Data, Device, Settings, Threads
from study.cli.overrides import parse_settings
from study.cli.printing import print_json, print_metrics
from study.display import results

Dataset = Annotated[str, typer.Option("--dataset", help="a name that `study datasets` lists")]
Epochs = Annotated[int, typer.Option(help="epochs")]
Seed = Annotated[int, typer.Option(help="seed of training")]


def train(
    method: Annotated[str, typer.Argument(help="a method's name")],
    dataset: Dataset = "colored-digits",
    data: Data = None,
    settings: Settings = None,
    epochs: Epochs = 10,
    seed: Seed = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            help="folder for the checkpoints of the last epoch and of each that is best on a validation variant",
            show_default=NEW_FOLDER,
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = 1,
    as_json: AsJson = False,
) -> None:
    """Train one configuration, without a search."""
    from study.cluster import process
    from study.training import single

    chosen = {
        "dataset/name": datasets.find(dataset).name(),
        "method/name": methods.find(method).name(),
        "training/epochs": epochs,
        "seed": seed,
        "data": data.absolute() if data else None,
        **parse_settings(settings or []),
    }
    config = RunConfig.from_flat(chosen)
    process.set_up(threads)
    stopping.on_stop("checkpoints of whole epochs are kept; training begins anew with another --output")
    checkpoint, metrics = single.train(config, device, output)
    if as_json:
        print_json({"config": config.to_flat(), "checkpoint": str(checkpoint.absolute()), "metrics": metrics})
    else:
        print_metrics(metrics, f"{method} on {config.dataset.name()}, last epoch")
        results.print(escape(f"checkpoint: {checkpoint}"), soft_wrap=True)


def adopt(
    dataset: Dataset = "imagenet9",
    data: Data = None,
    settings: Settings = None,
    output: Annotated[Path | None, typer.Option(help="folder of the checkpoint", show_default=NEW_FOLDER)] = None,
) -> None:
    """Make a checkpoint of a model that was trained elsewhere, to evaluate it here.

    --set model/architecture=resnet50 --set model/weights=imagenet --set model/scores=imagenet downloads torchvision's
    ResNet-50 and scores its 1,000 classes as ImageNet-9's nine. Its last layer is kept, so without model/scores it must
    have an output for each class of the data.
    """
    from study.training import single

    chosen = {
        "dataset/name": datasets.find(dataset).name(),
        "method/name": Erm.name(),
        "data": data and data.absolute(),
    }
    config = RunConfig.from_flat({**chosen, **parse_settings(settings or [])})
    checkpoint = single.adopt(config, output)
    results.print(escape(f"checkpoint: {checkpoint}"), soft_wrap=True)
