"""The report of a study on each of the library's datasets, with the dataset's own objectives."""

import math

import pytest

from bgbias.data.dataset import ORIGINAL
from bgbias.data.datasets import datasets
from bgbias.metrics import variant_of
from study.record.config import StudyConfig
from study.record.epoch import EpochReport
from study.record.folder import SEARCH, StudyFolder
from study.record.objectives import objectives_of, shifted_metric, shifted_variant
from study.report import write_report
from study.report.fairness import line

ORIGINALS, SHIFTED = (0.9, 0.8, 0.95), (0.5, 0.6, 0.7)


def studied(root, dataset):
    """A study of three trials of one epoch each, recorded as a study does it."""
    folder = StudyFolder(root)
    config = StudyConfig(spaces=("erm",), trials=3, epochs=1, dataset=dataset)
    folder.create(config)
    shifted = shifted_variant(dataset, objectives_of(config))
    for number, (original, other) in enumerate(zip(ORIGINALS, SHIFTED, strict=True), start=1):
        name = f"trial{number}"
        settings = {"method/name": "erm", "dataset/name": dataset, "seed": number}
        folder.start_trial(name, number, "erm", SEARCH, {**settings, "training/learning_rate": number / 100})
        metrics = {}
        for split in ("val", "test"):
            metrics |= {f"{split}/{ORIGINAL}/accuracy": original, shifted_metric(split, shifted): other}
        folder.add_epoch(name, EpochReport(1, metrics))
        folder.finish_trial(name)
    return folder, shifted


@pytest.mark.parametrize("name", list(datasets))
def test_a_report_compares_original_with_what_a_changed_background_does(name, tmp_path):
    folder, shifted = studied(tmp_path / "study", name)
    report = write_report(folder)
    points = [(point.original, point.shifted) for point in line(report)]
    assert points == list(zip(ORIGINALS, SHIFTED, strict=True))
    assert report.pair == (shifted_metric("val", shifted), f"val/{ORIGINAL}/accuracy")
    assert all(variant_of(metric) is not None for metric in report.pair)
    (rule,) = [row for row in report.rule_rows if row.rule == "last-epoch"]
    assert math.isclose(rule.values[shifted_metric("test", shifted)], 0.7)
