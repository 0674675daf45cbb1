"""The parts of a report that are words and tables: in a page, in Markdown and in CSV alike."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from io import StringIO
from typing import Any

from bgbias.data.dataset import ORIGINAL
from bgbias.metrics import label_of
from bgbias.table import Table
from study.display import command_line, counted, in_percent, with_spread, with_spread_of
from study.record.config import StudyConfig
from study.record.objectives import is_plain
from study.report import analysis, fairness, inspected, published, text
from study.report.layout import Grid
from study.report.protocol import protocol_rows
from study.report.statistics import units
from study.report.tables import OF_THE_MACHINE, PLACE, Report

CONFIRMED = ("confirm_seeds", "confirm_top")
TAGS = ("commit", "version/bgbias", "version/torch", "version/ray", "version/optuna", "version/mlflow")


def question(report: Report) -> str:
    """Write the study's question in a sentence or two."""
    spaces, dataset = ", ".join(dict.fromkeys(row.space for row in report.rows)), report.config.dataset
    if report.shifted == ORIGINAL:
        asked = f"Which of {spaces} is best on the worst group of {dataset}, and what does it cost on average?"
    else:
        asked = (
            f"Which of {spaces} keeps its accuracy on {dataset} when the background changes ({report.shifted}), and "
            "what does it cost on original?"
        )
    return (
        f"{asked} {len(report.trials)} trials finished, at most "
        f"{report.config.epochs} epochs each, seed {report.config.seed}."
    )


def command_of(config: StudyConfig) -> str:
    """The command of the same study, without places of this machine; DIR stands for the folder of its data."""
    left_out = {"spaces", "settings", "classes", *OF_THE_MACHINE}
    words: list[object] = ["run", *config.spaces, *(["--data", PLACE] if config.data else [])]
    for item in fields(config):
        value = getattr(config, item.name)
        default = item.default if item.default_factory is MISSING else item.default_factory()
        if item.name not in left_out and value != default:
            words += _option(item.name, value)
    for name, value in config.settings.items():
        words += ["--set", f"{name}={'none' if value is None else value}"]
    return command_line(*words)


def _option(name: str, value: Any) -> list[object]:
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag if value else f"--no-{name.replace('_', '-')}"]
    if isinstance(value, tuple):
        return [word for one in value for word in (flag.removesuffix("s"), one)]
    return [flag, value]


def provenance(report: Report) -> Grid:
    """The versions that the trials ran with."""
    found: dict[str, dict[str, None]] = {}
    for trial in report.trials:
        for tag in TAGS:
            if tag in trial.origin:
                found.setdefault(tag, {})[trial.origin[tag]] = None
    return Grid("versions", ["value"], {tag: [", ".join(values)] for tag, values in found.items()}, "of", "")


def budget_table(report: Report) -> Grid:
    """Spaces x what each was given."""
    found = fairness.budgets(report)
    costs = fairness.epoch_costs(found, report.baseline)
    rows = {
        row.space: [
            f"{row.trials:,}", f"{row.stopped:,}", f"{row.epochs:,}", _count(row.seconds), _count(row.forward),
            _count(row.backward), f"{costs[row.space]:.2f}" if row.space in costs else text.MISSING, str(row.searched),
        ]
        for row in found
    }  # fmt: skip
    columns = [
        "trials", "stopped early", "epochs in all", "seconds in all", "forward passes", "backward passes",
        _cost(report), "searched settings",
    ]  # fmt: skip
    return Grid("what each search was given", columns, rows, across="budget")


def protocol_table(report: Report) -> Grid:
    """Spaces x what each is given, costs and reaches."""
    found = protocol_rows(report)
    columns = list(dict.fromkeys(column for row in found.values() for column in row.reached))
    rows = {
        space: [
            row.supervision or text.MISSING,
            text.MISSING if row.cost is None else f"{row.cost:.2f}",
            str(row.budget.trials),
            str(row.budget.searched),
            *(with_spread_of(row.reached[name]) if name in row.reached else text.MISSING for name in columns),
        ]
        for space, row in found.items()
    }
    given = ["supervision", _cost(report), "trials", "searched settings"]
    seeds = max((len(values) for row in found.values() for values in row.reached.values()), default=0)
    whose = f"{counted(seeds, 'fresh seed')}, mean ± standard deviation" if report.confirmed else "the search's winner"
    title = f"protocol: what each method is given, and its test accuracy [%] at the objective's best epoch, {whose}"
    return Grid(title, [*given, *columns], rows, across="")


def _cost(report: Report) -> str:
    return f"epoch cost ({report.baseline} = 1)"


def _count(value: float | None) -> str:
    return text.MISSING if value is None else f"{value:,.0f}"


def passes_line(report: Report) -> list[str]:
    """Explain the passes in the table of budgets, if any were counted."""
    if not any(row.cost is not None for row in fairness.budgets(report)):
        return []
    return [
        "passes: examples through the network's body in the steps of training, counted one by one; an input gradient "
        "that is trained on takes two more backward passes. Cost: forward and twice backward. Not counted: evaluation, "
        "a backbone trained beforehand, features of a frozen body"
    ]


def published_table(report: Report) -> Grid:
    """Published rows x ours and theirs, with the differences in protocol in words."""
    rows = {}
    for found in published.beside(report):
        row = found.published
        ours = ", ".join(f"{space} {in_percent(value)}" for space, value in found.ours.items())
        name = f"{row.method}, {label_of(row.metric)}"
        rows[f"{name} ({row.source})"] = [with_spread(row.value, row.spread), ours, found.differences]
    return Grid("published test accuracy [%] beside ours", ["published", "ours", "protocol"], rows, "method", "")


def parts(report: Report) -> list[tuple[str, list[Grid], list[str]]]:
    """Every heading with its tables and its lines, as far as there is something to say."""
    seeds = [text.seed_table(report)] if report.seed_rows else []
    spread = [text.spread_table(report)] if report.tuning_rows else []
    compared = [text.comparison_table(report), text.test_table(report)] if report.comparisons else []
    quantities = [text.quantity_table(report)] if report.quantity_tests else []
    fronts = [] if is_plain(report.objectives) else [text.front_table(report)]
    weights = {name: [value[:16]] for name, value in report.weights.items()}
    commands = [command_of(report.config)]
    links = [f"[{what}]({address})" for what, address in report.links.items()]
    notes = [*report.notes, *text.divergence_lines(report)]
    found = [
        ("Results", [text.main_table(report), *fronts, *seeds, *spread], notes),
        ("Differences", [*compared, *quantities], units(report.comparisons) if compared else []),
        ("Settings", text.choice_tables(report), []),
        ("Selection rules", text.rule_tables(report.rule_rows), report.rule_remarks),
        ("Protocol", [protocol_table(report)], []),
        ("Fairness", [budget_table(report)], [*fairness.warnings(report), *passes_line(report)]),
        *_inspected(report),
        ("Published", [grid for grid in (published_table(report),) if grid.rows], []),
        (
            "Repeat it",
            [provenance(report), Grid("weights of the winners", ["SHA-256 begins"], weights, "checkpoint", "")],
            [*commands, f"MLflow: experiment {report.config.mlflow_experiment}, tags.study = '{report.tag}'", *links],
        ),
    ]
    return [part for part in found if any(grid.rows for grid in part[1]) or part[2]]


def written(report: Report) -> list[tuple[str, list[Grid], list[str]]]:
    """The parts, and in words what the page draws: the accuracy of every class on every place."""
    title = f"test accuracy [%] on {report.shifted} of every class on every place"
    grids = [
        Grid(f"{space}: {title}", table.columns, _in_words(table), "class", "place")
        for space, table in analysis.group_accuracies(report)
    ]
    *first, last = parts(report)
    return [*first, *([("Class by place", grids, [])] if grids else []), last]


def _in_words(table: Table) -> dict[str, list[str]]:
    cells = ([text.MISSING if math.isnan(value) else f"{value:.2f}" for value in row] for row in table.values)
    return dict(zip(table.rows, cells, strict=True))


CHALLENGE, SALIENCY, FLOW = "Background Challenge", "Saliency", "Flow"


def _inspected(report: Report) -> list[tuple[str, list[Grid], list[str]]]:
    """Lay out the results of analyses of the winners' checkpoints; for missing results, the commands."""
    found, baseline = report.inspected, report.baseline
    commands = inspected.missing(found, baseline)
    unmade = {kind: [f"not measured yet: `{line}`" for line in lines] for kind, lines in commands.items()}
    return [
        (CHALLENGE, [inspected.challenge_table(found)], unmade["challenge"]),
        (SALIENCY, [inspected.saliency_table(found, baseline, report.shifted)], unmade["saliency"]),
        (FLOW, [inspected.flow_table(found)], unmade["flow"]),
    ]


def merged(reports: Sequence[Report]) -> Grid:
    """One table of several studies: study and space x variants, fresh seeds where there are any."""
    variants = list(dict.fromkeys(variant for report in reports for variant in report.variants))
    rows: dict[str, list[str]] = {}
    for report in reports:
        seeds = {(row.space, row.variant): with_spread(row.mean, row.std) for row in report.seed_rows}
        found = {(row.space, row.variant): in_percent(row.test_accuracy) for row in report.rows} | seeds
        for space in dict.fromkeys(space for space, _ in found):
            name = f"{report.name} ({report.config.dataset}): {space}"
            rows[name] = [found.get((space, variant), text.MISSING) for variant in variants]
    title = "test accuracy [%], chosen on validation data; mean ± standard deviation where there are fresh seeds"
    return Grid(title, variants, rows)


def markdown(reports: Sequence[Report], more: Iterable[Grid] = ()) -> str:
    """The whole report without figures."""
    found = ["# " + ", ".join(report.name for report in reports)] if reports else []
    if len(reports) > 1:
        found += [merged(reports).markdown()]
    found += [grid.markdown() for grid in more]
    for report in reports:
        found += [f"## {report.name}", question(report)]
        for title, grids, lines in written(report):
            found += [f"### {title}", *(grid.markdown() for grid in grids if grid.rows)]
            found += ["\n".join(f"- {line}" for line in lines)] if lines else []
    return "\n\n".join(found) + "\n"


def as_csv(reports: Sequence[Report], more: Mapping[str, Sequence[Grid]] | None = None) -> str:
    """One row for each cell of every table: study, table, row, column, value."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["study", "table", "row", "column", "value"])
    tables = {report.name: [grid for _, grids, _ in written(report) for grid in grids] for report in reports}
    for study, grids in (tables | dict(more or {})).items():
        for grid in grids:
            head, *body = grid.lines()
            for row in body:
                for column, value in zip(head[1:], row[1:], strict=True):
                    writer.writerow([study, grid.title, row[0], column, value])
    return out.getvalue()
