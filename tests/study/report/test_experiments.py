"""Tables of what MLflow alone holds."""

import math
from dataclasses import replace

import numpy as np
import pytest
from made import epoch, trial
from mlflow import MlflowClient

from bgbias.errors import SettingError
from bgbias.table import Table
from study.record.config import StudyConfig
from study.report import draw_report, page, reading
from study.report.experiments import Found, grids, is_read, reports, tables
from study.report.statistics import compared
from study.report.tables import report_of
from study.report.training import group_maps

COUNTS = {"count": 8.0, "correct": 6.0}
RIGHT = {seed: np.arange(20) < seed for seed in range(1, 7)}


def test_winners_are_chosen_on_validation_and_seeds_are_averaged():
    runs = [
        Found("one", "erm", "search", {"shuffled": (0.9, 0.30), "original": (0.5, 0.6)}),
        Found("one", "erm", "search", {"shuffled": (0.8, 0.99)}),
        Found("two", "erm", "search", {"shuffled": (0.8, 0.50)}),
        Found("one", "erm", "confirm", {"shuffled": (0.9, 0.30)}),
        Found("one", "erm", "confirm", {"shuffled": (0.9, 0.40)}),
    ]
    winners, seeds = tables("mine", runs)
    assert winners.columns == ["shuffled", "original"]
    assert dict(winners.rows) == {"one: erm": ["30.00", "60.00"], "two: erm": ["50.00", "-"]}
    assert dict(seeds.rows) == {"one: erm": ["35.00 ± 7.07", "-"]}
    assert len(tables("mine", runs[:3])) == 1


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """One store for all tests here, which takes seconds to make."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'store.db'}"


def test_the_trials_of_an_experiment_are_read_from_mlflow(uri, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client = MlflowClient(uri)
    experiment = client.create_experiment("theirs")
    for stage, validation, test in (("search", 0.9, 0.4), ("search", 0.7, 0.8), ("study", 0.0, 0.0)):
        run = client.create_run(experiment, tags={"stage": stage, "space": "erm", "study": "s"}).info.run_id
        client.log_metric(run, "best/val.shuffled.accuracy", validation)
        client.log_metric(run, "best/test.shuffled.accuracy", test)
        client.set_terminated(run)
    (grid,) = grids("theirs", uri)
    assert dict(grid.rows) == {"s: erm": ["40.00"]}
    with pytest.raises(SettingError, match="has no experiment 'ours'"):
        grids("ours", uri)
    with pytest.raises(SettingError, match="no study at ours"):
        grids("ours", None)
    client.create_experiment("empty")
    with pytest.raises(SettingError, match="no finished trial"):
        grids("empty", uri)


def logged(client, experiment, parent, run, study="one"):
    """A trial's run, as a study writes it."""
    from mlflow.entities import Metric, Param

    tags = {
        "study": study, "stage": run.stage, "space": run.space, "trial_id": run.trial_id, "mlflow.parentRunId": parent,
        "commit": "abc",
    }  # fmt: skip
    made = client.create_run(experiment, tags=tags, run_name=run.name).info.run_id
    metrics = [Metric(k, v, 0, e.epoch) for e in run.epochs for k, v in e.metrics.items()]
    summary = [Metric("best/val.shuffled.accuracy", 0.5, 0, 0), Metric("best/test.shuffled.accuracy", 0.5, 0, 0)]
    client.log_batch(made, [*metrics, *summary], [Param(k, str(v)) for k, v in run.config.items()])
    client.set_terminated(made)


def test_a_study_is_rebuilt_from_mlflow_with_every_epoch_and_typed_settings(uri):
    def run(name, space, number, gain, **options):
        history = [
            {**epoch(original=(0.9, 0.8 + gain), shuffled=(e * gain, e * gain / 2)), "train/loss/cross_entropy": 1 / e}
            for e in (1, 2, 3)
        ]
        settings = {"dataset/name": "colored-digits", "training/epochs": 3, "model/weights": None, "method/form": "a"}
        return trial(name, history, space=space, number=number, **settings, **options)

    trials = [run(str(n), s, n, n / 20, **{"method/x": n / 3}) for n, s in enumerate(["erm", "erm", "mine"], 1)]
    seeds = [run(f"s{n}", "mine", 3 + n, n / 10, stage="confirm", **{"method/x": 1.0}) for n in (1, 2)]
    client = MlflowClient(uri)
    experiment = client.create_experiment("rebuilt")
    parent = client.create_run(experiment, tags={"stage": "study", "study": "one"})
    client.log_param(parent.info.run_id, "objectives", "val/shuffled/accuracy")
    client.log_param(parent.info.run_id, "method/form", "a")
    for one in (*trials, *seeds):
        logged(client, experiment, parent.info.run_id, one)
    (found,) = reports("rebuilt", uri)
    assert (found.name, found.config.objectives) == ("one (MLflow)", ("val/shuffled/accuracy",))
    expected = report_of(found.name, found.config, trials, seeds)
    assert found.trials[0].config == trials[0].config
    assert [t.history for t in found.trials] == [t.history for t in trials]
    assert (found.rows, found.seed_rows) == (expected.rows, expected.seed_rows)
    assert (found.rule_rows, found.front) == (expected.rule_rows, expected.front)
    keys = [section.key for section in page.sections(found)]
    assert {"ranking", "trade-off", "effects", "training", "line", "table-selection-rules"} <= set(keys)
    assert "lacks the report of this study: no tests" in reading.markdown([found])


def test_tests_tables_and_the_whole_command_are_those_of_the_report_that_the_study_attached(uri, tmp_path):
    counts = {f"test/shuffled/{what}": Table(((n, 0.0),), ("0",), ("a", "b")) for what, n in COUNTS.items()}
    counts["learned/p"] = Table(((0.5, math.nan),), ("0",), ("a", "b"))
    settings = {"dataset/name": "colored-digits", "training/epochs": 2}
    trials = [
        trial(
            name,
            [epoch(zoo=(0.5, 0.4), shuffled=(0.5, 0.4)), epoch(zoo=(0.5, 0.4), shuffled=(0.9, 0.8))],
            space=name,
            **settings,
        )
        for name in ("erm", "mine")
    ]
    theirs = [replace(each, epochs=[*each.epochs[:1], replace(each.epochs[1], tables=counts)]) for each in trials]
    config = StudyConfig(
        spaces=("erm", "mine"), epochs=2, trials=1, experiment="attached", confirm_seeds=6, family=("mine:*",),
        data=tmp_path / "secret", objectives=("val/shuffled/accuracy",), early_stopping=False,
    )  # fmt: skip
    right = {("erm", "shuffled"): RIGHT, ("mine", "shuffled"): {seed: ~kept for seed, kept in RIGHT.items()}}
    comparisons = compared(right, "erm", config.family)
    original = replace(
        report_of("one", config, theirs, []), comparisons=comparisons, weights={"erm on shuffled": "0123"}
    )
    draw_report(original, tmp_path / "report")

    client = MlflowClient(uri)
    experiment = client.create_experiment("attached", (tmp_path / "artifacts").as_uri())
    parent = client.create_run(experiment, tags={"stage": "study", "study": "one"}).info.run_id
    client.log_artifacts(parent, tmp_path / "report", "report")
    for one in trials:
        logged(client, experiment, parent, one)
    (found,) = reports("attached", uri)
    assert (found.name, found.tag, found.variants) == ("one (MLflow)", "one", ["zoo", "shuffled"])
    assert found.comparisons == comparisons
    assert found.weights == {"erm on shuffled": "0123"}
    assert [(space, figure.data[0].z) for space, figure in group_maps(found)] == [("erm", ([75],)), ("mine", ([75],))]
    assert math.isnan(found.trials[0].epochs[1].tables["learned/p"].values[0][1])
    assert "secret" not in (tmp_path / "report" / "report.json").read_text()
    assert reading.command_of(found.config) == reading.command_of(config)
    text = reading.markdown([found])
    assert "when it last ended" in text
    assert "### Differences" in text
    assert "### Class by place" in text
    assert "| class | a |\n|---|---|\n| 0 | 75.00 |" in text
    assert "--data DIR" in text
    assert "tags.study = 'one'" in text
    assert grids("attached", uri, told=["one"]) == []


@pytest.mark.parametrize(
    "text", ["{", '{"rows": []}', '{"config": {"of_a_later_version": 1}, "rows": [], "tables": {}}']
)
def test_a_report_that_this_version_does_not_read_counts_as_missing(uri, tmp_path, text):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.json").write_text(text)
    client = MlflowClient(uri)
    experiment = client.create_experiment(f"unread {len(text)}", (tmp_path / "artifacts").as_uri())
    parent = client.create_run(experiment, tags={"stage": "study", "study": "one"}).info.run_id
    client.log_artifacts(parent, tmp_path / "report", "report")
    settings = {"dataset/name": "colored-digits"}
    logged(client, experiment, parent, trial("a", [epoch(shuffled=(0.5, 0.4))], **settings))
    (found,) = reports(f"unread {len(text)}", uri)
    assert "lacks the report of this study" in found.notes[0]


def test_a_store_that_is_not_there_is_refused_and_not_made(tmp_path):
    with pytest.raises(SettingError, match=r"must be of an MLflow store, but .* does not exist"):
        reports("any", f"sqlite:///{tmp_path / 'mistyped' / 'x.db'}")
    assert not (tmp_path / "mistyped").exists()


def test_only_what_a_report_shows_is_asked_for():
    asked = {
        "val/shuffled/accuracy": True, "test/shuffled/worst_group_accuracy": True, "val/bg_gap": True,
        "test/shuffled/accuracy_at/16": True, "train/loss/cross_entropy": True, "train/forward_passes": True,
        "learned/samples": True, "train/images_per_second": False, "test/shuffled/adjusted_accuracy": False,
        "val/shuffled/loss": False, "best/val.shuffled.accuracy": False,
    }  # fmt: skip
    assert {metric: is_read(metric) for metric in asked} == asked
