"""Output of commands on standard output."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from study.display import command_line, finite, results, show_line, show_table
from study.record.folder import StudyFolder
from study.record.objectives import is_plain

if TYPE_CHECKING:
    from study.report.tables import Report


def show_report(found: "Report", folder: StudyFolder, as_json: bool, figures: Path | None = None) -> None:
    """A report's tables, and where everything is; or its JSON object.

    Args:
        figures: their folder, if it is not the study's own.
    """
    from study.report import statistics, text
    from study.report.layout import laid_out

    if as_json:
        print_json(found.to_json())
        return
    show_table(laid_out(text.main_table(found)))
    for line in text.divergence_lines(found):
        show_line(escape(line), results)
    if not is_plain(found.objectives):
        show_table(laid_out(text.front_table(found)))
    if found.seed_rows:
        show_table(laid_out(text.seed_table(found)))
    if found.tuning_rows:
        show_table(laid_out(text.spread_table(found)))
    if found.comparisons:
        show_table(laid_out(text.comparison_table(found)))
        for line in statistics.units(found.comparisons):
            show_line(escape(line), results)
    lines = f"outputs: {folder.root}\nfigures: {figures or folder.report}\ndashboard: {command_line('ui', folder.root)}"
    results.print(escape(lines), soft_wrap=True)


def print_json(found: dict[str, object]) -> None:
    """One JSON object."""
    print(json.dumps(finite(found), allow_nan=False))


def print_metrics(metrics: dict[str, float], title: str) -> None:
    """A table of metrics."""
    table = Table("metric", "value", title=escape(title))
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4g}")
    show_table(table)
