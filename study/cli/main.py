"""The `study` command. Torch, Ray and the other large packages are imported by the modules of its commands."""

import sys
from errno import ENOSPC
from typing import Any

import typer
from rich.markup import escape
from typer.exceptions import TyperException

from bgbias.errors import BgbiasError
from study import stopping
from study.cli.lazy import LazyCommand, LazyGroup, help_style
from study.display import show_line
from study.errors import ReportsMissingError, StudyInterruptedError

WRONG_INPUT, REPORTS_MISSING = 2, 3

COMMANDS = {
    "run": ("run:run", "Search every method's hyper-parameters and show which wins on each variant."),
    "resume": ("run:resume", "Continue a study that was stopped, or extend it to more trials."),
    "confirm": ("run:confirm", "Train a finished study's best trials again on fresh seeds."),
    "report": ("run:report", "Show a study's tables and figures, or put several into one report."),
    "best": (
        "best:best",
        "Find the checkpoint that is best on validation data, for a variant or the objectives.",
    ),
    "rules": (
        "rules:rules",
        "Compare selection rules on a finished search, and their cost against the oracle.",
    ),
    "export": ("export:export", "Write the predictions and configurations of a study's kept checkpoints."),
    "train": ("train:train", "Train one configuration, without a search."),
    "adopt": ("train:adopt", "Make a checkpoint of a model that was trained elsewhere, to evaluate it here."),
    "evaluate": (
        "evaluate:evaluate",
        "Evaluate a checkpoint on every variant, and on the worst backgrounds.",
    ),
    "audit": ("audit:audit", "Audit any trained model: how much it depends on the background."),
    "saliency": (
        "saliency:saliency",
        "Measure the share of saliency on the object, and draw the maps.",
    ),
    "flow": ("flow:flow", "Measure a flow's fit to true moves of embeddings, and its votes."),
    "spaces": ("lists:spaces", "List the search spaces, their methods, and what they search."),
    "datasets": ("lists:list_datasets", "List the datasets, methods and models, with their options."),
    "show-data": ("show_data:show_data", "Draw a picture of every variant of a dataset."),
    "data": ("data:app", "Fetch or build datasets of photographs, and check them."),
    "submit": ("submit:app", "Run a study as a job on a Ray cluster."),
    "ui": ("ui:ui", "Open MLflow's dashboard at the study's own page, or Optuna's."),
}
"""Of each command: its place in this package, and the first line of its help."""


class StudyGroup(LazyGroup):
    """The commands of `study`."""

    def __init__(self, **settings: Any) -> None:
        """Add every command, without its module."""
        super().__init__(**settings)
        for name, (place, help_) in COMMANDS.items():
            self.add_command(LazyCommand(name, f"study.cli.{place}", help_))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Load the command; from here on a signal stops it in order, and does not cut an import short."""
        found = super().resolve_command(ctx, args)
        stopping.orderly(True)
        return found


app = typer.Typer(cls=StudyGroup, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=help_style())


@app.callback()
def study() -> None:
    """Find out how to train image classifiers that look at the object and not at its background."""


def main() -> None:
    """Run a command; what the user can fix ends with exit code 2 and one line, as does a signal with its own code."""
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
        BaseException: the error, if it is none that a user can fix.
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
    show_line(f"[red]error:[/] {escape(' '.join(message.split()))}")
    return REPORTS_MISSING if isinstance(error, ReportsMissingError) else WRONG_INPUT
