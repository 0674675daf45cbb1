"""Recorded trials made by hand."""

from dataclasses import replace

from study.record.config import StudyConfig
from study.record.epoch import EpochReport
from study.record.folder import SEARCH, StudyEnd, StudyFolder
from study.record.provenance import now
from study.record.selection import Trial, winners
from study.report.significance import Interval
from study.report.statistics import Comparison, PairedTest


def epoch(**accuracies):
    """Metrics of one epoch: `shuffled=(0.9, 0.8)` is a validation accuracy of 0.9 and a test accuracy of 0.8."""
    metrics = {}
    for variant, (validation, test) in accuracies.items():
        metrics[f"val/{variant}/accuracy"] = validation
        metrics[f"test/{variant}/accuracy"] = test
    return metrics


def trial(name, history, space="erm", stage="search", number=1, **config):
    return Trial(
        trial_id=name,
        number=number,
        space=space,
        stage=stage,
        config={"method/name": space, "seed": 0, **config},
        epochs=[EpochReport(number, metrics) for number, metrics in enumerate(history, start=1)],
        finished=True,
    )


def comparison(variant, space, baseline, difference, both, by_seeds=None, by_images=1.0, **more):
    """A comparison on three seeds with an interval and corrected p values."""
    interval, seeds = Interval(*both), 6 if by_seeds is not None else 3
    found = {"seeds": seeds, "images": 100, "effect": 0.0, "standardised": None} | more
    return Comparison(
        variant, space, baseline, difference=difference, both=interval, over_seeds=interval, over_images=interval,
        by_seeds=PairedTest(by_seeds, by_seeds), by_images=PairedTest(by_images, by_images), **found,
    )  # fmt: skip


def recorded(root, **config):
    """A study's folder with two finished trials of `erm`, as if it had run; the second wins every variant."""
    folder = StudyFolder(root)
    folder.create(StudyConfig(spaces=("erm",), trials=2, epochs=2, **config))
    for number, name in enumerate(("aaaa", "bbbb"), start=1):
        settings = {"method/name": "erm", "dataset/name": "colored-digits", "seed": number}
        folder.start_trial(name, number, "erm", SEARCH, {**settings, "training/learning_rate": number / 100})
        for at in (1, 2):
            metrics = epoch(original=(at * number / 10,) * 2, shuffled=(at * number / 20,) * 2)
            folder.add_epoch(name, replace(EpochReport(at, metrics), at=now()))
        folder.finish_trial(name)
    checkpoint = folder.checkpoint(winners(folder.finished(SEARCH))[0])
    checkpoint.mkdir(parents=True)
    (checkpoint / "weights").write_text(root.name)
    folder.record_end(StudyEnd("FINISHED", now()))
    return folder
