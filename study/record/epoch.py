"""The report of a trial after each epoch: the same record from the trial to MLflow and to the study's report."""

from collections.abc import Sequence
from dataclasses import field

from bgbias.table import Table
from study.record.json_record import JsonRecord, json_record

Metrics = dict[str, float]


@json_record
class EpochReport(JsonRecord):
    """The record of one epoch.

    epoch: from 1
    metrics: by name, such as `val/shuffled/accuracy`
    tables: by name, such as a probability for each pair of classes
    at: time of the recording, in milliseconds since 1970; None before that
    """

    epoch: int
    metrics: Metrics
    tables: dict[str, Table] = field(default_factory=dict)
    at: int | None = None


def history_to_json(reports: Sequence[EpochReport]) -> str:
    """Write lines of JSON, one per epoch."""
    return "".join(f"{report.to_json()}\n" for report in reports)


def history_from_json(lines: str, *, tables: bool = True) -> list[EpochReport]:
    """Read the reports of complete lines, in the order of their epochs; of an epoch that occurs twice, the later one.

    Args:
        tables: True to read the tables too, which takes 20 times as long and most of the memory.
    """
    reports = (EpochReport.from_json(line if tables else _without_tables(line)) for line in lines.split("\n")[:-1])
    by_epoch = {report.epoch: report for report in reports}
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def _without_tables(line: str) -> str:
    """Cut the tables out of a report's line; of all text in it, only the record's own key reads `,"tables":{`."""
    head, table, rest = line.partition(',"tables":{')
    _, last, at = rest.rpartition(',"at":')
    return head + last + at if table and last else line
