"""Texts for MLflow's pages of a study and its experiment, in Markdown: results, and filters that find runs."""

from collections.abc import Sequence
from urllib.parse import quote

from study.display import in_percent, with_spread
from study.record.folder import CONFIRM, SEARCH
from study.record.objectives import is_plain
from study.report.page import OVERVIEW
from study.report.tables import Report
from study.report.text import MISSING, front_cell, front_title
from study.tracking.messages import EXPERIMENT_PLACE, RUN_PLACE


def study_note(report: Report) -> str:
    """Write the note of a study: its question, its results, and links to more."""
    config = report.config
    spaces = list(dict.fromkeys(row.space for row in report.rows))
    asked = (
        f"`{config.dataset}`: {', '.join(f'`{space}`' for space in spaces)}; {len(report.trials)} trials finished, "
        f"at most {config.epochs} epochs, seed {config.seed}."
    )
    run = f"#/experiments/{EXPERIMENT_PLACE}/runs/{RUN_PLACE}"
    parts = [
        f"**[Interactive figures]({run}/artifacts/report/{OVERVIEW})**: ranking, trade-off, settings, training.",
        asked,
        "Test accuracy [%] of the winners, chosen on validation data:",
        _winners(report, spaces),
        *([] if is_plain(report.objectives) else [f"{front_title(report)}.", _front(report)]),
        *(["Their mean ± standard deviation over fresh seeds:", _seeds(report)] if report.seed_rows else []),
        "Find runs:",
        _links(report, f"tags.study = '{report.tag}' and "),
    ]
    return "\n\n".join(parts)


def experiment_note(report: Report) -> str:
    """Write the note of an experiment: the order of its runs, and links to views of them."""
    return "\n\n".join(
        [
            f"Studies of `{report.config.dataset}`. A study is a parent run (`tags.stage = 'study'`) that holds the "
            "report; its trials are its children (`search`, and `confirm` on fresh seeds).",
            "`best/val.<variant>.accuracy` and `best/test.<variant>.accuracy` are a trial's accuracies at its epoch "
            "with the highest validation accuracy on that variant. Compare methods and settings on the first; the "
            "second is for reporting.",
            _links(report),
        ]
    )


def filters(report: Report) -> dict[str, str]:
    """MLflow's filter for each group of runs that a report's study has."""
    found = {
        "trials of the searches": f"tags.stage = '{SEARCH}'",
        f"winners on {report.shifted}": f"tags.winner LIKE '%{report.shifted}%'",
        **({"Pareto front": "tags.front LIKE '%'"} if len(report.objectives) > 1 else {}),
        **({"winners on fresh seeds": f"tags.stage = '{CONFIRM}'"} if report.seed_rows else {}),
    }
    spaces = dict.fromkeys(row.space for row in report.rows)
    return found | {f"trials of {space}": f"tags.stage = '{SEARCH}' and tags.space = '{space}'" for space in spaces}


def _links(report: Report, first: str = "") -> str:
    page = f"#/experiments/{EXPERIMENT_PLACE}/runs?searchFilter="
    found = ((name, first + runs) for name, runs in filters(report).items())
    return "\n".join(f"- [{name}]({page}{quote(runs)}): `{runs}`" for name, runs in found)


def _winners(report: Report, spaces: Sequence[str]) -> str:
    found = {(row.space, row.variant): in_percent(row.test_accuracy) for row in report.rows}
    return _table(report, spaces, found)


def _front(report: Report) -> str:
    rows = [
        [f"**{member.name}**" if member.leads else member.name, *(front_cell(member, m) for m in report.objectives)]
        for member in report.front
    ]
    return _markdown(["trial", *report.objectives], rows)


def _seeds(report: Report) -> str:
    spreads = {(row.space, row.variant): with_spread(row.mean, row.std) for row in report.seed_rows}
    return _table(report, list(dict.fromkeys(row.space for row in report.seed_rows)), spreads)


def _table(report: Report, spaces: Sequence[str], cells: dict[tuple[str, str], str]) -> str:
    rows = [[f"`{space}`", *(cells.get((space, variant), MISSING) for variant in report.variants)] for space in spaces]
    return _markdown(["method", *report.variants], rows)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
