"""`study export`: a study's selected configurations and predictions as files for other tools."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from study.cli.options import Folder
from study.display import counted, results
from study.record.folder import StudyFolder


def export(
    folder: Folder,
    out: Annotated[Path, typer.Option(metavar="FILE", help="file to write, .parquet or .csv")],
) -> None:
    """Write the predictions and configurations of a study's kept checkpoints.

    The configurations stand in a second file beside FILE. Each row of the first is an image of a variant, with its
    label, prediction, place and group.
    """
    from study.report import export as exporting

    made = exporting.export(StudyFolder(folder), out)
    lines = (
        f"{made.predictions}: {counted(made.images, 'prediction')}\n"
        f"{made.selected}: {counted(made.checkpoints, 'checkpoint')}"
    )
    results.print(escape(lines), soft_wrap=True)
