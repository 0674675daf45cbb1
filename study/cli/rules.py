"""The `rules` command: every selection rule applied to one study's record."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from bgbias.errors import SettingError
from study.cli.options import AsJson, Folder
from study.cli.printing import print_json
from study.display import results, show_line, show_table
from study.record.folder import CONFIRM, SEARCH, StudyFolder


def rules(
    folder: Folder,
    rule: Annotated[
        list[str] | None, typer.Option(help="a rule, such as validation-worst-class; may be repeated; all if left out")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="test metric to compare them on, such as shuffled/worst_group_accuracy; may be repeated"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare selection rules on a finished search, and their cost against the oracle.

    Rules read validation data; `oracle-<metric>` reads test data and is no result.
    """
    from study.report import choosing, text
    from study.report.layout import laid_out

    study = StudyFolder(folder)
    config, trials = study.read_config(), study.finished(SEARCH, tables=False)
    if not trials:
        raise SettingError(f"no trial of {study.root} has finished: continue with `study resume`")
    rows = choosing.rule_rows(config, trials, study.finished(CONFIRM, tables=False), rule or (), metric or ())
    said = choosing.remarks(rows, trials, choosing.any_tables(study.trial(trials[0].trial_id)))
    if as_json:
        print_json({"rules": [asdict(row) for row in rows], "remarks": said})
        return
    for grid in text.rule_tables(rows):
        show_table(laid_out(grid))
    for line in said:
        show_line(escape(line), results)
