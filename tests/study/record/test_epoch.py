"""An epoch's report as it is written and read."""

import math
from dataclasses import replace

import pytest
from pydantic import ValidationError

from bgbias.table import Table
from study.record.epoch import EpochReport, history_from_json, history_to_json

TABLE = Table(((0.1, math.inf), (1.0, 0.0)), ("a", "b"), ("c", "d"))


def test_a_report_is_the_same_after_a_line_of_json():
    report = EpochReport(3, {"train/loss/cross_entropy": 0.1 + 0.2, "val/shuffled/accuracy": 1.0}, {"p": TABLE})
    line = report.to_json()
    assert "\n" not in line
    assert EpochReport.from_json(line) == report


def test_a_loss_that_is_no_number_stays_none():
    metrics = EpochReport.from_json(EpochReport(1, {"x": math.nan, "y": -math.inf}).to_json()).metrics
    assert math.isnan(metrics["x"])
    assert metrics["y"] == -math.inf


def test_of_an_epoch_that_was_written_twice_the_later_one_counts():
    lines = history_to_json([EpochReport(2, {"x": 1}), EpochReport(1, {"x": 2}), EpochReport(2, {"x": 3})])
    assert history_from_json(lines) == [EpochReport(1, {"x": 2}), EpochReport(2, {"x": 3})]


def test_a_line_without_tables_is_one_of_an_older_study():
    assert EpochReport.from_json('{"epoch": 1, "metrics": {"x": 0.5}}') == EpochReport(1, {"x": 0.5})


def test_tables_can_be_left_out_whatever_their_names_are():
    odd = Table(((1.0,),), ('x,"at":5}',), ('{"tables":{',))
    reports = [EpochReport(1, {'m,"tables":{': 1.0}, {"p": TABLE, ',"at":7': odd}, at=12), EpochReport(2, {"x": 2.0})]
    found = history_from_json(history_to_json(reports), tables=False)
    assert found == [replace(reports[0], tables={}), reports[1]]


def test_what_is_no_report_is_refused():
    with pytest.raises(ValidationError, match="metrics"):
        EpochReport.from_json('{"epoch": 1}')
