"""A report's tables on the terminal."""

from rich.table import Table

from study.display import percent
from study.report.tables import Report


def main_table(report: Report) -> Table:
    """Methods x variants: validation-selected test accuracy, the best of each variant in bold."""
    best = {
        variant: max((row.test_accuracy for row in report.rows if row.variant == variant), default=0.0)
        for variant in report.variants
    }
    table = Table(title=f"{report.config.dataset}: test accuracy, checkpoints selected on validation data")
    table.add_column("method")
    for variant in report.variants:
        table.add_column(variant, justify="right")
    for space in dict.fromkeys(row.space for row in report.rows):
        found = {row.variant: row.test_accuracy for row in report.rows if row.space == space}
        table.add_row(space, *(_cell(found.get(variant), best[variant]) for variant in report.variants))
    return table


def seed_table(report: Report) -> Table:
    """Methods x variants: mean and standard deviation over fresh seeds."""
    count = len(report.seed_rows[0].seeds)
    table = Table(title=f"the search's winners on {count} fresh seeds: test accuracy, mean ± standard deviation")
    table.add_column("method")
    for variant in report.variants:
        table.add_column(variant, justify="right")
    for space in dict.fromkeys(row.space for row in report.seed_rows):
        found = {row.variant: row for row in report.seed_rows if row.space == space}
        cells = []
        for variant in report.variants:
            row = found.get(variant)
            spread = f" ± {100 * row.std:.2f}" if row is not None and row.std is not None else ""
            cells.append(f"{100 * row.mean:.2f}{spread}" if row is not None else "-")
        table.add_row(space, *cells)
    return table


def _cell(value: float | None, best: float) -> str:
    if value is None:
        return "-"
    return f"[bold]{percent(value)}[/]" if value == best else percent(value)
