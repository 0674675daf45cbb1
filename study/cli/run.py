"""`study run`, `study resume` and `study report`: a study, and what came of it."""

import contextlib
import dataclasses
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from bgbias.components import make
from bgbias.errors import BgbiasError, SettingError
from study import stopping
from study.cli.options import NEW_FOLDER, AsJson, Folder, Settings, options_of
from study.cli.overrides import parse_settings
from study.cli.printing import show_report
from study.display import command_line, results, show_line
from study.errors import ReportsMissingError
from study.record.config import StudyConfig
from study.record.folder import KILLED, StudyFolder
from study.record.lock import new_folder

if TYPE_CHECKING:
    from study.report.tables import Report

CHANGEABLE = (
    "trials", "data", "tracking_uri", "experiment", "address", "storage", "cpus_per_trial", "gpus_per_trial",
    "max_concurrent", "device", "searches",
)  # fmt: skip
"""The options that `study resume` takes too."""


@options_of(StudyConfig)
def run(
    given: dict[str, Any],
    spaces: Annotated[list[str] | None, typer.Argument(metavar="SPACE", help="names or .py files")] = None,
    settings: Settings = None,
    output: Annotated[
        Path | None, typer.Option(help="folder for all files of the study", show_default=NEW_FOLDER)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search every method's hyper-parameters and show which wins on each variant."""
    # Ray and torch take seconds to import, which other commands need not wait for
    from study.study import plan as plan_of
    from study.study import run as run_plan

    chosen = {"spaces": tuple(spaces)} if spaces else {}
    config = make(StudyConfig, {**given, **chosen, "settings": parse_settings(settings or [], spaces=True)}, "study")
    plan = plan_of(config)
    config = dataclasses.replace(config, classes=plan.classes, objectives=plan.objectives)
    folder = StudyFolder(output or new_folder(config.dataset))
    with folder.begun(config), _study_output(folder, as_json):
        run_plan(plan, config, folder)


@options_of(StudyConfig, *CHANGEABLE, required=False)
def resume(given: dict[str, Any], folder: Folder, as_json: AsJson = False) -> None:
    """Continue a study that was stopped, or extend it to more trials.

    Options change the places of its data, its cluster and its stores, its resources, and the total number of trials of
    each space. Options that are left out stay as they were; `none` resets an option to its default.
    """
    changed = {name: None if str(value).lower() == "none" else value for name, value in given.items()}
    _go_on(StudyFolder(folder), changed, as_json)


def confirm(
    folder: Folder,
    seeds: Annotated[int, typer.Option(min=1, help="total number of fresh seeds of each configuration")],
    top: Annotated[int, typer.Option(min=1, help="number of each space's best trials, with one objective")] = 1,
    max_concurrent: Annotated[int | None, typer.Option(min=1, help="largest number of trials at a time")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a finished study's best trials again on fresh seeds.

    They become trials of the same study, below the same run in MLflow. Seeds that were already trained are kept. If it
    is stopped, `study resume` continues.
    """
    study = StudyFolder(folder)
    before = study.read_config()
    wanted = {"confirm_seeds": seeds, "confirm_top": top}
    if any(getattr(before, name) > value for name, value in wanted.items()):
        raise SettingError(
            f"fresh seeds are kept, and the study has {before.confirm_seeds} of {before.confirm_top} for each space, "
            f"but got {seeds} of {top}: give as many or more"
        )
    if study.end().status == KILLED and any(getattr(before, name) != value for name, value in wanted.items()):
        raise SettingError(f"{study.root} was stopped: let `{command_line('resume', folder)}` finish it first")
    concurrent = {} if max_concurrent is None else {"max_concurrent": max_concurrent}
    _go_on(study, wanted | concurrent, as_json)


def _go_on(study: StudyFolder, changed: dict[str, Any], as_json: bool) -> None:
    """Bring a study to its end with some options changed."""
    from study.study import plan as plan_of
    from study.study import run as run_plan
    from study.study import say_changes

    config = make(StudyConfig, {**vars_of(study.read_config()), **changed}, "study")
    with study.locked():
        study.check_trials(config)
        recorded = study.spaces()
        plan = plan_of(config, recorded)
        study.check_data(plan.data)
        say_changes(config, recorded)
        with _study_output(study, as_json):
            study.write_config(config)
            run_plan(plan, study.settled(config), study)


def vars_of(config: StudyConfig) -> dict[str, Any]:
    """A study's options by name."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


@contextlib.contextmanager
def _study_output(folder: StudyFolder, as_json: bool) -> Iterator[None]:
    """Print a study's results, and nothing else, on standard output; if it is stopped, say how to continue."""
    stopping.on_stop(f"`{command_line('resume', folder.root)}` continues")
    from study.report.tables import make_report  # slow: a stop during the import must say how to continue, too

    missing = None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except ReportsMissingError as error:
        missing = error
    show_report(make_report(folder), folder, as_json)
    if missing is not None:
        raise missing


def report(
    studies: Annotated[
        list[str], typer.Argument(metavar="DIR|EXPERIMENT", help="studies' folders, or experiments in MLflow")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="folder for the report", show_default="report in the one study's folder"),
    ] = None,
    pictures: Annotated[
        bool, typer.Option(help="draw each dataset's variants if its pictures are on this machine")
    ] = True,
    png: Annotated[
        bool, typer.Option("--png", help="write every figure as a PNG file too (extra png, and Chrome or Chromium)")
    ] = False,
    tracking_uri: Annotated[str | None, typer.Option(help="address of the MLflow that holds the experiments")] = None,
    send: Annotated[bool, typer.Option("--send", help="send the study's whole record to MLflow again")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a study's tables and figures, or put several into one report.

    Writes overview.html (one file that works offline), report.md, report.csv and report.json. A name that is not a
    folder is an experiment in MLflow: its studies are rebuilt from their runs and from the reports that they attached.
    """
    from study.report import draw_reports, finished_report, write_pngs

    folders = [StudyFolder(Path(name)) for name in studies if Path(name).is_dir()]
    experiments = [name for name in studies if not Path(name).is_dir()]
    if len(studies) == 1 and not experiments:
        _report_one(folders[0], out, pictures, png, send, as_json)
        return
    remote, rebuilt = {}, []
    if experiments:
        from study.report import experiments as of_mlflow

        rebuilt = [one for name in experiments for one in of_mlflow.reports(name, tracking_uri)]
        told = [one.tag for one in rebuilt]
        remote = {name: of_mlflow.grids(name, tracking_uri, told) for name in experiments}
    if send or as_json:
        raise SettingError("--send and --json take one study's folder: give them without the others")
    if out is None:
        raise SettingError("a report of several studies needs a folder of its own: give --out DIR")
    found = [*(finished_report(folder) for folder in folders), *rebuilt]
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        found = [
            dataclasses.replace(one, name=f"{one.name} {at}", tagged=one.tag) for at, one in enumerate(found, start=1)
        ]
    draw_reports(found, out, remote, _pictures(found) if pictures else {})
    if png:
        write_pngs(found, out)
    results.print(escape(f"report: {out / 'overview.html'}, {out / 'report.md'}, {out / 'report.csv'}"), soft_wrap=True)


def _report_one(study: StudyFolder, out: Path | None, pictures: bool, png: bool, send: bool, as_json: bool) -> None:
    from study.report import draw_report, finished_report, write_pngs

    if send:
        from study.study import send as send_again

        config = study.read_config()
        with study.locked(), _study_output(study, as_json):
            send_again(study.settled(config), study)
        return
    found = finished_report(study)
    try:
        draw_report(found, out or study.report, _pictures([found]) if pictures else {})
        if png:
            write_pngs([found], out or study.report)
    except OSError as error:
        if out is not None:
            raise
        why = f"{study.report} cannot be written ({error.strerror}): give --out DIR"
        show_line(f"[yellow]the figures are left out, since {escape(why)}[/]")
    show_report(found, study, as_json, out)


def _pictures(reports: Sequence["Report"]) -> dict[str, bytes]:
    """A PNG file of every variant of each report's dataset, where its pictures are on this machine."""
    from bgbias.config import RunConfig
    from study.inspect import dataset as drawing

    found = {}
    for one in reports:
        try:
            run = RunConfig.from_flat(one.rows[0].config)
            picture = io.BytesIO()
            drawing.show_data(run.dataset.load(one.config.data), side=84).save(picture, "PNG")
            found[one.name] = picture.getvalue()
        except (BgbiasError, OSError) as error:
            reason = escape(" ".join(str(error).split()))
            show_line(f"[dim]no pictures of {escape(one.name)} ({reason})[/]")
    return found
