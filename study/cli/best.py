"""The `best` command: a study's best checkpoint on a variant, or of its front."""

from collections.abc import Collection, Sequence
from typing import Annotated, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from bgbias.checkpoint import read_description
from bgbias.errors import SettingError, UnknownNameError
from bgbias.metrics import TEST, VALIDATION, accuracy
from study.cli.options import AsJson, Folder
from study.cli.printing import print_json
from study.display import measured, results, show_table
from study.record.folder import SEARCH, StudyFolder
from study.record.objectives import metric_of, objectives_of
from study.record.selection import Candidate, Row, Trial, front, score, winners

Found = TypeVar("Found", Row, Candidate)


def best(
    folder: Folder,
    variant: Annotated[str | None, typer.Option(help="a variant, such as shuffled")] = None,
    prefer: Annotated[
        str | None, typer.Option(help="objective to choose by from the front; the first one if left out")
    ] = None,
    space: Annotated[str | None, typer.Option(help="only among this space's trials")] = None,
    as_json: AsJson = False,
) -> None:
    """Find the checkpoint that is best on validation data, for a variant or the objectives.

    With several objectives, --prefer chooses from the front: the checkpoints that no other one beats in all.
    """
    if variant is not None and prefer is not None:
        raise SettingError(f"--prefer takes no --variant, but got '{prefer}' and '{variant}': leave one out")
    study = StudyFolder(folder)
    objectives, trials = objectives_of(study.read_config()), study.finished(SEARCH)
    if not trials:
        raise SettingError("no trial of the study has finished: continue with `study resume`")
    if variant is None:
        wanted = metric_of(prefer) if prefer else objectives[0]
        found: Row | Candidate = _of_front(trials, objectives, wanted, space)
    else:
        wanted = variant
        found = _best_row(winners(trials), variant, space)
    path = study.checkpoint(found)
    if as_json:
        about = {"trial": found.trial, "config": found.config, "checkpoint": str(path)}
        kind = "objective" if variant is None else "variant"
        print_json({kind: wanted, **about, "metrics": read_description(path)["metrics"]})
        return
    table = Table("setting", "value", title=f"{found.space} wins {wanted}: trial {found.trial}, epoch {found.epoch}")
    for key, setting in found.config.items():
        table.add_row(key, str(setting))
    for metric, value in _reached(found).items():
        table.add_row(metric, measured(metric, value))
    show_table(table)
    results.print(f"checkpoint: {escape(str(path))}", soft_wrap=True)


def _reached(found: Row | Candidate) -> dict[str, float]:
    if isinstance(found, Candidate):
        return found.values | found.test_values
    return {
        accuracy(VALIDATION, found.variant): found.val_accuracy,
        accuracy(TEST, found.variant): found.test_accuracy,
    }


def _of_front(trials: Sequence[Trial], objectives: Sequence[str], wanted: str, space: str | None) -> Candidate:
    if wanted not in objectives:
        raise UnknownNameError("objective", wanted, objectives)
    members = _of_space(front(trials, objectives), space, {trial.space for trial in trials})
    if not members:
        raise SettingError(f"no trial of {space or 'the study'} has {', '.join(objectives)}: give --variant")
    return max(members, key=lambda member: score(member.values, wanted))


def _best_row(rows: Sequence[Row], variant: str, space: str | None) -> Row:
    if variant not in {row.variant for row in rows}:
        raise UnknownNameError("variant", variant, {row.variant for row in rows})
    fitting = [row for row in _of_space(rows, space, {row.space for row in rows}) if row.variant == variant]
    if not fitting:
        raise SettingError(f"no trial of {space} was evaluated on '{variant}': leave --space out")
    return max(fitting, key=lambda row: row.val_accuracy)


def _of_space(found: Sequence[Found], space: str | None, known: Collection[str]) -> list[Found]:
    if space is not None and space not in known:
        raise UnknownNameError("space", space, known)
    return [one for one in found if space in (None, one.space)]
