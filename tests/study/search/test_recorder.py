"""The record of epochs whose test variants are evaluated later than the others."""

from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from study.record.config import StudyConfig
from study.record.epoch import EpochReport, history_to_json
from study.record.folder import SEARCH, StudyFolder
from study.search.callbacks import Recorder
from study.study import send

VALIDATION, TEST = "val/shuffled/accuracy", "test/shuffled/accuracy"
TRIAL = SimpleNamespace(config={"trial": "mine"})
SETTINGS = {"method/name": "erm", "dataset/name": "colored-digits", "seed": 0}


@pytest.fixture
def folder(tmp_path):
    made = StudyFolder(tmp_path / "study")
    made.create(StudyConfig(tracking_uri=f"sqlite:///{tmp_path / 'runs.db'}"))
    made.start_trial("mine", 1, "erm", SEARCH, SETTINGS)
    return made


@pytest.fixture
def recorder(folder):
    made = Recorder(folder.root, SEARCH, "erm", (VALIDATION,), "colored-digits", folder.read_config().study_id)
    made.setup()
    made.on_trial_start(TRIAL)
    return made


def tell(recorder, *reports):
    """Tell of reports, each an epoch, its validation accuracy and, where there is one, its test accuracy."""
    made = [EpochReport(epoch, dict(zip((VALIDATION, TEST), values, strict=False))) for epoch, *values in reports]
    recorder.on_trial_result(TRIAL, {"reports": history_to_json(made)})


def logged(folder):
    client = MlflowClient(folder.read_config().tracking_uri)
    (run,) = client.search_runs(["1"], "tags.trial_id = 'mine'")
    return {
        metric: [
            (found.step, found.timestamp, found.value) for found in client.get_metric_history(run.info.run_id, metric)
        ]
        for metric in (VALIDATION, TEST)
    }


def test_what_is_known_later_is_recorded_and_reported_once(folder, recorder, monkeypatch):
    monkeypatch.setattr("study.search.callbacks.now", iter(range(1000, 2000)).__next__)
    tell(recorder, (1, 0.5))
    tell(recorder, (2, 0.4))
    for _ in range(2):  # told again after an interruption
        tell(recorder, (1, 0.5, 0.45), (3, 0.6, 0.55))
    recorder.on_experiment_end([])
    trial = folder.trial("mine")
    assert trial.history == [{VALIDATION: 0.5, TEST: 0.45}, {VALIDATION: 0.4}, {VALIDATION: 0.6, TEST: 0.55}]
    assert [report.at for report in trial.epochs] == [1000, 1001, 1002]
    for _ in range(2):
        send(folder.read_config(), folder)
        assert logged(folder) == {
            VALIDATION: [(1, 1000, 0.5), (2, 1001, 0.4), (3, 1002, 0.6)],
            TEST: [(1, 1000, 0.45), (3, 1002, 0.55)],
        }


def test_a_run_that_lacks_what_is_known_later_gets_it_alone(folder, recorder):
    tell(recorder, (1, 0.5))
    send(folder.read_config(), folder)
    first = logged(folder)
    assert first[TEST] == []
    tell(recorder, (1, 0.5, 0.45), (2, 0.6))
    recorder.on_experiment_end([])
    send(folder.read_config(), folder)
    again = logged(folder)
    assert again[VALIDATION][:1] == first[VALIDATION]
    assert [(step, value) for step, _, value in again[VALIDATION]] == [(1, 0.5), (2, 0.6)]
    assert [(step, value) for step, _, value in again[TEST]] == [(1, 0.45)]
