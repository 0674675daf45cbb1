"""A report's tables on the terminal, in percent."""

from collections.abc import Callable, Sequence
from statistics import fmean, stdev

from bgbias.metrics import TEST, VALIDATION, accuracy, is_share, label_of, on_test
from study.display import counted, in_percent, measured, points, with_spread, with_spread_of
from study.record.rules import TEST_DATA
from study.record.selection import Candidate, Trial, best_epoch, best_metrics, by_space
from study.report.choosing import RuleRow
from study.report.layout import Grid
from study.report.significance import Interval, p_text
from study.report.statistics import Comparison, QuantityTest
from study.report.tables import QuantityRow, Report, SeedRow, by_choice
from study.settings import short

MISSING = "-"
"""Text of a table's cell without a value."""
DIVERGED_MARK = "†"


def main_table(report: Report) -> Grid:
    """Methods x variants: validation-selected test accuracy, the best of each variant in bold."""
    found = {(row.space, row.variant): row.test_accuracy for row in report.rows}
    best = {v: max((a for (_, own), a in found.items() if own == v), default=0.0) for v in report.variants}

    diverged = report.diverged()
    marked = {(row.space, row.variant): DIVERGED_MARK for row in report.rows if row.trial in diverged}

    def cell(space: str, variant: str) -> str:
        accuracy = found.get((space, variant))
        if accuracy is None:
            return MISSING
        shown = in_percent(accuracy) + marked.get((space, variant), "")
        return f"[bold]{shown}[/]" if accuracy == best[variant] else shown

    title = f"{report.config.dataset}: test accuracy [%], checkpoints selected on validation data"
    spaces = dict.fromkeys(row.space for row in report.rows)
    return Grid(title, report.variants, {space: [cell(space, v) for v in report.variants] for space in spaces})


def divergence_lines(report: Report) -> list[str]:
    """Write for each space with diverged trials how many there are, and the reason of the first."""
    diverged = report.diverged()
    lines = []
    for space in dict.fromkeys(trial.space for trial in report.trials):
        trials = [trial.trial_id for trial in report.trials if trial.space == space]
        reasons = [diverged[trial] for trial in trials if trial in diverged]
        if reasons:
            lines.append(
                f"{DIVERGED_MARK} {len(reasons)} of {counted(len(trials), 'trial')} of {space} diverged and stopped; "
                f"the first: {reasons[0]}"
            )
    return lines


def front_table(report: Report) -> Grid:
    """Trials x objectives: every space's Pareto front, those on the front of all spaces in bold."""
    columns = ["epoch", *report.objectives]
    return Grid(front_title(report), columns, {member.name: _front_row(report, member) for member in report.front})


def _front_row(report: Report, member: Candidate) -> list[str]:
    cells = [str(member.epoch), *(front_cell(member, metric) for metric in report.objectives)]
    return [f"[bold]{cell}[/]" for cell in cells] if member.leads else cells


def front_title(report: Report) -> str:
    """Title of the table of the front."""
    what = "Pareto front" if len(report.objectives) > 1 else "winners on the objective"
    return f"{what}: validation (test); bold: no trial of another space is better"


def front_cell(member: Candidate, metric: str) -> str:
    """A member's value on validation data, and in brackets on test data."""
    test = on_test(metric)
    shown = f" ({measured(test, member.test_values[test])})" if test in member.test_values else ""
    return f"{measured(metric, member.values[metric])}{shown}"


def seed_table(report: Report) -> Grid:
    """Methods x variants: mean and standard deviation over fresh seeds."""
    found = {(row.space, row.variant): row for row in report.seed_rows}

    def cell(space: str, variant: str) -> str:
        return _with_spread(found.get((space, variant)))

    seeds = counted(len(report.seed_rows[0].seeds), "fresh seed")
    who = "members of the front" if len(report.objectives) > 1 else "winners on the search's objective"
    title = f"{who}, {seeds}: test accuracy [%], mean ± standard deviation"
    quantities = {(row.space, row.metric): row for row in report.quantity_rows}
    names = list(dict.fromkeys(row.metric for row in report.quantity_rows))
    rows = {
        space: [
            *(cell(space, variant) for variant in report.variants),
            *(_with_spread(quantities.get((space, name))) for name in names),
        ]
        for space in dict.fromkeys(row.space for row in report.seed_rows)
    }
    return Grid(title, [*report.variants, *names], rows)


def spread_table(report: Report) -> Grid:
    """Methods x variants: the spread over searches beside that over fresh seeds."""
    searches = {(row.space, row.variant): row for row in report.tuning_rows}
    seeds = {(row.space, row.variant): row for row in report.seed_rows}

    def cell(space: str, variant: str) -> str:
        row = searches.get((space, variant))
        tuned = with_spread(row.mean, row.std) if row else MISSING
        return f"{tuned} | {_with_spread(seeds.get((space, variant)))}"

    count = max(len(row.test_accuracies) for row in report.tuning_rows)
    title = f"spread of tuning | of seeds: test accuracy [%] over the winners of {count} searches"
    if report.seed_rows:
        title += f" | over {counted(len(report.seed_rows[0].seeds), 'fresh seed')} of the first one's winner"
    spaces = dict.fromkeys(row.space for row in report.tuning_rows)
    return Grid(title, report.variants, {space: [cell(space, v) for v in report.variants] for space in spaces})


def choice_tables(report: Report) -> list[Grid]:
    """A table of each space: values of its searched settings x variants, mean and spread of the trials that have them.

    Each trial counts with its checkpoint that is best on the variant's validation data.
    """
    tables = []
    for space, trials in by_space(report.trials).items():
        rows = {}
        for (name, value), having in by_choice(trials).items():
            reached = [_reached(having, variant) for variant in report.variants]
            rows[f"{short(name)} = {value}"] = [str(len(having)), *reached]
        title = f"{space}: test accuracy [%] of the trials with each value, mean ± standard deviation"
        tables.append(Grid(title, ["trials", *report.variants], rows, "setting", "variant"))
    return [table for table in tables if table.rows]


def _reached(trials: Sequence[Trial], variant: str) -> str:
    asked, told = accuracy(VALIDATION, variant), accuracy(TEST, variant)
    found = [best_metrics(trial.history, asked).get(told) for trial in trials if best_epoch(trial.history, asked)]
    values = [value for value in found if value is not None]
    return with_spread_of(values) if values else MISSING


def comparison_table(report: Report) -> Grid:
    """Methods x variants: the difference to the baseline in points, with a mark where it is significant."""
    found = {(row.space, row.variant): row for row in report.comparisons}
    first = report.comparisons[0]
    over = "seeds and images" if first.seeds > 1 else "images"
    title = f"difference to {first.baseline} in points (95 % interval over {over})"
    spaces = dict.fromkeys(row.space for row in report.comparisons)
    return Grid(
        title,
        report.variants,
        {space: [difference_cell(found.get((space, v))) for v in report.variants] for space in spaces},
    )


def test_table(report: Report) -> Grid:
    """Every comparison x its intervals, p values and effect sizes."""
    columns = [
        "seeds", "images", "difference", "95 % over both", "95 % over seeds", "p over seeds", "after Holm",
        "95 % over images", "p over images", "after Holm (images)", "rank-biserial", "in standard deviations",
    ]  # fmt: skip
    rows = {
        f"{row.space}, {row.variant}": [
            f"{row.seeds}", f"{row.images:,}", points(row.difference), _interval(row.both), _interval(row.over_seeds),
            _p(row.by_seeds.p), _p(row.by_seeds.holm), _interval(row.over_images), _p(row.by_images.p),
            _p(row.by_images.holm), f"{row.effect:+.2f}",
            MISSING if row.standardised is None else f"{row.standardised:+.2f}",
        ]
        for row in report.comparisons
    }  # fmt: skip
    return Grid("tests of each difference, in points", columns, rows, "method", "")


def quantity_table(report: Report) -> Grid:
    """Methods x gaps and objectives: the difference to the baseline with its interval over seeds."""
    tests = {(row.space, row.metric): row for row in report.quantity_tests}
    metrics = list(dict.fromkeys(metric for _, metric in tests))
    rows = {
        space: [_quantity_cell(tests.get((space, metric))) for metric in metrics]
        for space in dict.fromkeys(space for space, _ in tests)
    }
    said = f"95 % interval over seeds; p by exact paired Wilcoxon, after Holm over these {len(tests)}"
    return Grid(f"difference to {report.baseline}, {said}", metrics, rows)


def _quantity_cell(row: QuantityTest | None) -> str:
    if row is None:
        return MISSING
    shown = points if is_share(row.metric) else "{:+.4g}".format
    bounds = f" ({shown(row.interval.low)}, {shown(row.interval.high)})" if row.interval else ""
    p = "" if row.by_seeds.p is None else f" p = {p_text(row.by_seeds.p)}, {_p(row.by_seeds.holm)}"
    return f"{shown(row.difference)}{bounds}{p}"


def _interval(found: Interval | None) -> str:
    return MISSING if found is None else f"{points(found.low)}, {points(found.high)}"


def _p(value: float | None) -> str:
    return MISSING if value is None else p_text(value)


def difference_cell(row: Comparison | None) -> str:
    """Write a difference in points with its interval, in brackets outside the declared family.

    Marks show what is significant over seeds, or over images only.
    """
    if row is None:
        return MISSING
    mark = "*" if row.by_seeds.significant else "°" if row.by_images.significant else ""
    shown = f"{points(row.difference)}{mark} ({points(row.low)}, {points(row.high)})"
    return shown if row.declared else f"[{shown}]"


def rule_tables(rows: Sequence[RuleRow]) -> list[Grid]:
    """Make tables of rules x spaces for each test metric: the chosen value, in brackets its cost against the oracle.

    With fresh seeds, also their mean and standard deviation at the epochs that the rule chooses for them. Oracles,
    which choose on test data, have tables of their own.
    """
    honest, oracles = ([row for row in rows if (row.needs == TEST_DATA) == oracle] for oracle in (False, True))
    grids = []
    for metric in rows[0].values if rows else ():
        name = f"test {label_of(metric)} [%]" if is_share(metric) else f"test {label_of(metric)}"
        for mine, title, seeds in (
            (honest, "by selection rule (points below the oracle)", "their epochs chosen by the rule"),
            (oracles, "by oracles, which choose on test data: bounds, no results", "their epochs chosen on test data"),
        ):
            grids.append(_rule_table(f"{name} {title}", mine, metric, _rule_cell))
            if any(row.seeds.get(metric) for row in mine):
                spread = f"{name} of fresh seeds, {seeds}: mean ± standard deviation"
                grids.append(_rule_table(spread, mine, metric, _seeds_cell))
    return [grid for grid in grids if grid.rows]


def _rule_table(title: str, rows: Sequence[RuleRow], metric: str, cell: Callable[[RuleRow, str], str]) -> Grid:
    spaces = list(dict.fromkeys(row.space for row in rows))
    found = {(row.rule, row.space): row for row in rows}
    needs = {row.rule: row.needs for row in rows}
    cells = {rule: [needs[rule], *(cell(found[rule, space], metric) for space in spaces)] for rule in needs}
    return Grid(title, ["needs", *spaces], cells, "rule", "method")


def _rule_cell(row: RuleRow, metric: str) -> str:
    value, cost = row.values[metric], row.cost[metric]
    if value is None:
        return MISSING
    if not is_share(metric):
        return f"{value:.4g}"
    return in_percent(value) if cost is None else f"{in_percent(value)} ({100 * cost:.1f})"


def _seeds_cell(row: RuleRow, metric: str) -> str:
    values = row.seeds.get(metric)
    if not values:
        return MISSING
    if is_share(metric):
        return with_spread_of(values)
    std = stdev(values) if len(values) > 1 else None
    return f"{fmean(values):.4g}" + (f" ± {std:.2g}" if std is not None else "")


def _with_spread(row: SeedRow | QuantityRow | None) -> str:
    if row is None:
        return MISSING
    if isinstance(row, SeedRow) or is_share(row.metric):
        return with_spread(row.mean, row.std)
    return f"{row.mean:.2f}" + (f" ± {row.std:.2f}" if row.std is not None else "")
