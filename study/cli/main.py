"""The `study` command."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from errno import ENOSPC
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from typer.exceptions import TyperException

from bgbias.components import make
from bgbias.config import RunConfig
from bgbias.data.datasets import datasets
from bgbias.errors import BgbiasError, SettingError
from bgbias.methods import methods
from bgbias.methods.erm import Erm
from bgbias.models import models
from study import stopping
from study.cli import best as best_command
from study.cli import data as data_commands
from study.cli import flow as flow_command
from study.cli import rules as rules_command
from study.cli import saliency as saliency_command
from study.cli import submit as submit_command
from study.cli.options import SAME_COMMAND, AsJson, Data, Device, Folder, Settings, Threads, options_of
from study.cli.overrides import parse_settings
from study.cli.printing import print_json, print_metrics, show_report
from study.display import command_line, console, results, show_table
from study.errors import ReportsMissingError, StudyInterruptedError
from study.record.config import StudyConfig
from study.record.folder import StudyFolder
from study.record.lock import new_folder
from study.space import label, load_space, space_names

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find out how to train image classifiers that look at the object and not at its background.",
)

app.add_typer(data_commands.app, name="data")

WRONG_INPUT, REPORTS_MISSING = 2, 3

Dataset = Annotated[str, typer.Option("--dataset", help="a name that `study datasets` lists")]
Epochs = Annotated[int, typer.Option(help="epochs")]
Seed = Annotated[int, typer.Option(help="seed of training")]


CHANGEABLE = (
    "trials", "data", "tracking_uri", "experiment", "address", "storage", "cpus_per_trial", "gpus_per_trial",
    "max_concurrent", "device",
)  # fmt: skip
"""The options that `study resume` takes too."""


@app.command()
@options_of(StudyConfig)
def run(
    given: dict[str, Any],
    spaces: Annotated[list[str] | None, typer.Argument(metavar="[SPACE]...", help="names or .py files")] = None,
    settings: Settings = None,
    output: Annotated[Path | None, typer.Option(help="folder for everything the study makes")] = None,
    as_json: AsJson = False,
) -> None:
    """Search every method's hyper-parameters and show which wins on each variant."""
    from study import study as tuner  # Ray and torch take seconds to import, which other commands need not wait for

    chosen = {"spaces": tuple(spaces)} if spaces else {}
    config = make(StudyConfig, {**given, **chosen, "settings": parse_settings(settings or [])}, "study")
    plan = tuner.plan(config)
    config = dataclasses.replace(config, classes=plan.classes, objectives=plan.objectives)
    folder = StudyFolder(output or new_folder(config.dataset))
    with folder.begun(config), _study_output(folder, as_json):
        tuner.run(plan, config, folder)


@app.command()
@options_of(StudyConfig, *CHANGEABLE, required=False)
def resume(given: dict[str, Any], folder: Folder, as_json: AsJson = False) -> None:
    """Go on with a study that was stopped, or with more trials than it had.

    Options say where its data, its cluster and its stores are now, on what it runs, and how many trials each space has
    in all; `none` is what leaving the option out of `study run` is. What is left out here stays as it was.
    """
    from study import study as tuner

    study = StudyFolder(folder)
    before = study.read_config()
    changed = {name: None if str(value).lower() == "none" else value for name, value in given.items()}
    config = make(StudyConfig, {**vars_of(before), **changed}, "study")
    with study.locked():
        study.check_trials(config)
        recorded = study.spaces()
        plan = tuner.plan(config, recorded)
        study.check_data(plan.data)
        tuner.say_changes(config, recorded)
        with _study_output(study, as_json):
            study.write_config(config)
            tuner.run(plan, study.settled(config), study)


def vars_of(config: StudyConfig) -> dict[str, Any]:
    """A study's options by name."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


@contextlib.contextmanager
def _study_output(folder: StudyFolder, as_json: bool) -> Iterator[None]:
    """What a study prints: its results alone on standard output, and how to go on if it is stopped."""
    stopping.on_stop(f"`{command_line('resume', folder.root)}` goes on")
    from study.report.tables import make_report  # takes a while: a stop meanwhile must say how to go on

    missing = None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except ReportsMissingError as error:
        missing = error
    show_report(make_report(folder), folder, as_json)
    if missing is not None:
        raise missing


@app.command()
def train(
    method: Annotated[str, typer.Argument(help="a method's name")],
    dataset: Dataset = "colored-digits",
    data: Data = None,
    settings: Settings = None,
    epochs: Epochs = 10,
    seed: Seed = 0,
    output: Annotated[Path | None, typer.Option(help="folder for the checkpoints")] = None,
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


@app.command()
def adopt(
    dataset: Dataset = "imagenet9",
    data: Data = None,
    settings: Settings = None,
    output: Annotated[Path | None, typer.Option(help="folder of the checkpoint")] = None,
) -> None:
    """Make a checkpoint of a model that was trained elsewhere, such as ImageNet's, so that it can be evaluated.

    --set model/architecture=resnet50 --set model/weights=imagenet --set model/scores=imagenet downloads torchvision's
    ResNet-50 and scores its 1,000 classes as ImageNet-9's nine.
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


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="a checkpoint's folder")],
    dataset: Annotated[str | None, typer.Option(help="another dataset than the checkpoint's own")] = None,
    data: Data = None,
    challenge: Annotated[bool, typer.Option("--challenge", help="the Background Challenge too")] = False,
    out: Annotated[Path | None, typer.Option(help="PNG file of the challenge's most adversarial backgrounds")] = None,
    device: Device = "auto",
    threads: Threads = 1,
    as_json: AsJson = False,
) -> None:
    """Evaluate a checkpoint on every variant, and on the worst background of every foreground."""
    from study.cluster import process
    from study.training import single

    if out is not None and not challenge:
        raise SettingError("--out draws the Background Challenge: give --challenge too, or leave --out out")
    process.set_up(threads)
    trained = single.load_trained(checkpoint, dataset, data, device)
    found: dict[str, object] = {"checkpoint": str(checkpoint.absolute()), "dataset": trained.dataset.name}
    result = single.evaluate_trained(trained)
    metrics = result.metrics
    if challenge:
        from study.inspect import challenge as background_challenge

        stopping.on_stop(SAME_COMMAND)
        verdict = background_challenge.run_challenge(checkpoint, trained, result.predictions)
        metrics |= background_challenge.metrics(verdict)
        found["challenge"] = background_challenge.to_json(verdict, trained)
        if out is not None:
            background_challenge.challenge_figure(verdict, trained).savefig(out, dpi=110)
    if as_json:
        print_json({**found, "metrics": metrics})
        return
    print_metrics(metrics, f"{checkpoint} on {trained.dataset.name}")
    if challenge:
        show_table(background_challenge.table(verdict, trained))
        results.print(background_challenge.counts(verdict, trained))


app.command()(saliency_command.saliency)
app.command()(flow_command.flow)
app.command()(best_command.best)
app.command()(rules_command.rules)
app.command(context_settings=submit_command.PASSED_ON)(submit_command.submit)


@app.command()
def report(
    folder: Folder,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="folder for the figures; the study's own")] = None,
    send: Annotated[bool, typer.Option("--send", help="send all that the study recorded to MLflow again")] = False,
    as_json: AsJson = False,
) -> None:
    """A study's tables and figures."""
    from study.report import draw_report, finished_report

    study = StudyFolder(folder)
    if send:
        from study import study as tuner

        config = study.read_config()
        with study.locked(), _study_output(study, as_json):
            tuner.send(study.settled(config), study)
        return
    found = finished_report(study)
    try:
        draw_report(found, out or study.report)
    except OSError as error:
        if out is not None:
            raise
        why = f"{study.report} cannot be written ({error.strerror}): give --out DIR"
        console.print(f"[yellow]the figures are left out, since {escape(why)}[/]", soft_wrap=True)
    show_report(found, study, as_json, out)


@app.command()
def spaces() -> None:
    """The search spaces, what they search, and their methods."""
    table = Table("space", "method", "searched")
    for name in space_names():
        space = load_space(name)
        domains = "\n".join(f"{key}: {str(value).replace('Distribution', '')}" for key, value in space.params.items())
        table.add_row(label(name), space.method.name(), domains)
    show_table(table)


@app.command(name="datasets")
def list_datasets() -> None:
    """The datasets, methods and models that can be chosen, with their options."""
    table = Table("kind", "name", "options")
    for kind, known in (("dataset", datasets), ("method", methods), ("model", models)):
        for name, cls in known.items():
            options = ", ".join(f"{f.name}={f.default!r}" for f in dataclasses.fields(cls))  # type: ignore[arg-type]
            table.add_row(kind, name, options)
    show_table(table)


@app.command()
def show_data(
    dataset: Annotated[str, typer.Argument(help="a dataset's name")],
    out: Annotated[Path, typer.Option(help="PNG file to write")],
    data: Data = None,
    settings: Settings = None,
    dilation: Annotated[int, typer.Option(min=0, help="show rims of this many pixels too")] = 0,
) -> None:
    """A picture of every variant of a dataset."""
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


@app.command()
def ui(
    folder: Folder,
    optuna: Annotated[bool, typer.Option("--optuna", help="Optuna's dashboard of the searches instead")] = False,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="port; 5000, or Optuna's 8080")] = None,
    host: Annotated[str, typer.Option(help="address to bind to")] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="open the page in a browser, where there is one")] = True,
) -> None:
    """The MLflow dashboard, at the study's own page; or Optuna's. On loopback unless told otherwise."""
    from study.cli import dashboard

    study = StudyFolder(folder)
    config = study.read_config()
    stopping.on_stop(f"`{command_line('ui', folder)}` opens it again")
    if optuna:
        dashboard.serve_searches(study, host, port or dashboard.OPTUNA_PORT, browser)
    else:
        dashboard.serve(study, config, host, port or dashboard.MLFLOW_PORT, browser)


def main() -> None:
    """Run a command; what the user can mend ends with exit code 2 and one line, as does a signal with its own code."""
    try:
        code = app(standalone_mode=False)
    except StudyInterruptedError as error:
        code = stopping.stopped(str(error))
    except BaseException as error:
        code = stopping.stopped() if stopping.received() else _explain(error)
    sys.exit(stopping.stopped() if stopping.received() else code)


def _explain(error: BaseException) -> int:
    """Print what was wrong in one line; the exit code.

    Raises:
        BaseException: the error, if it is none that a user can mend.
    """
    match error:
        case BgbiasError():
            message = str(error)
        case TyperException():
            message = getattr(error, "format_message", error.__str__)()
        case OSError() if error.filename is not None or error.errno == ENOSPC:
            where = error.filename or "the disk"
            message = f"cannot use {where} ({error.strerror}): make room there or give another path"
        case _:
            raise error
    console.print(f"[red]error:[/] {escape(' '.join(message.split()))}", soft_wrap=True)
    return REPORTS_MISSING if isinstance(error, ReportsMissingError) else WRONG_INPUT
