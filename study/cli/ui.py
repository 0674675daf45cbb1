"""`study ui`: a study's dashboards."""

from typing import Annotated

import typer

from study import stopping
from study.cli import dashboard
from study.cli.options import Folder
from study.display import command_line
from study.record.folder import StudyFolder


def ui(
    folder: Folder,
    optuna: Annotated[bool, typer.Option("--optuna", help="open Optuna's dashboard of the searches instead")] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="port; if left out, 5000, or 8080 for Optuna")
    ] = None,
    host: Annotated[str, typer.Option(help="address to bind to")] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="open the page in a browser, where there is one")] = True,
) -> None:
    """Open MLflow's dashboard at the study's own page, or Optuna's.

    Only this machine can open it, unless --host gives another address.
    """
    study = StudyFolder(folder)
    config = study.read_config()
    stopping.on_stop(f"`{command_line('ui', folder)}` opens it again")
    if optuna:
        dashboard.serve_searches(study, host, port or dashboard.OPTUNA_PORT, browser)
    else:
        dashboard.serve(study, config, host, port or dashboard.MLFLOW_PORT, browser)
