"""The sender and a real MLflow store."""

import json
from pathlib import Path

import pytest
from made import epoch, trial
from mlflow import MlflowClient

from bgbias.errors import SettingError
from bgbias.table import Table
from study.record.epoch import EpochReport
from study.record.selection import winning_row
from study.tracking.messages import Ended, EpochEnded, RunKey, StudyBegan, TrialBegan
from study.tracking.outbox import Outbox
from study.tracking.reporter import Reporter, check_tracking
from study.tracking.sender import Sender


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def client(store):
    return MlflowClient(f"sqlite:///{store / 'mlflow.db'}")


def send(store, outbox):
    """Send everything in an outbox; how many messages remain."""
    sender = Sender(outbox, f"sqlite:///{store / 'mlflow.db'}", store / "artifacts")
    sender.start()
    return sender.finish()


def report(file, experiment, study_id, trials=("t",)):
    reporter = Reporter(file, experiment, study_id)
    reporter.study("my study", {"trials": len(trials)}, {})
    for name in trials:
        reporter.trial(f"{study_id}-{name}", name, {"seed": 0}, {"method": "erm"})
        reporter.epoch(f"{study_id}-{name}", EpochReport(1, {"val/original/accuracy": 0.5}))
        reporter.end_trial(f"{study_id}-{name}", "FINISHED")
    return reporter


def names(client, experiment):
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return sorted(run.info.run_name for run in found)


def test_two_studies_of_one_name_are_two_runs(store, client, tmp_path):
    for study_id in ("first", "second"):
        report(tmp_path / study_id, "twins", study_id).close()
        assert send(store, tmp_path / study_id) == 0
    assert names(client, "twins") == ["my study", "my study", "t", "t"]


def test_what_mlflow_refuses_is_put_aside_and_the_rest_arrives(store, client, tmp_path, capsys):
    reporter = report(tmp_path / "box", "refused", "one")
    reporter.end_trial("nobody", "FINISHED")
    reporter.trial("one-later", "later", {"seed": 1}, {})
    reporter.close()
    assert send(store, tmp_path / "box") == 1
    assert names(client, "refused") == ["later", "my study", "t"]
    assert "no run has the tag trial_id=nobody" in capsys.readouterr().err


def test_one_refused_epoch_does_not_take_its_neighbours_along(store, client, tmp_path, capsys):
    reporter = report(tmp_path / "box", "neighbours", "one")
    for number, key in ((2, "val/original/accuracy"), (3, "not@allowed"), (4, "val/original/accuracy")):
        reporter.epoch("one-t", EpochReport(number, {key: 0.5}))
    reporter.close()
    assert send(store, tmp_path / "box") == 1
    (run,) = client.search_runs([client.get_experiment_by_name("neighbours").experiment_id], "tags.trial_id = 'one-t'")
    history = client.get_metric_history(run.info.run_id, "val/original/accuracy")
    assert [metric.step for metric in history] == [1, 2, 4]
    assert capsys.readouterr().err.count("MLflow refused a report") == 1


def test_a_table_arrives_as_one_image_and_its_values_for_each_epoch(store, client, tmp_path):
    tables = {epoch: Table(((epoch / 4, 0.5),), ("digit",), ("zero", "one")) for epoch in (1, 2)}
    for _ in range(2):  # sent again, it changes nothing
        reporter = report(tmp_path / "box", "tables", "one")
        for number, table in tables.items():
            message = EpochEnded("tables", RunKey("trial_id", "one-t"), EpochReport(number, {}, {"p/by class": table}))
            reporter._outbox.put(message)
        reporter.close()
        assert send(store, tmp_path / "box") == 0
    (run,) = client.search_runs([client.get_experiment_by_name("tables").experiment_id], "tags.trial_id = 'one-t'")
    images = [file.path for file in client.list_artifacts(run.info.run_id, "images") if file.path.endswith(".png")]
    assert sorted(path.split("step")[1].split("timestamp")[0].strip("+%") for path in images) == ["1", "2"]
    for number, table in tables.items():
        kept = client.download_artifacts(run.info.run_id, f"tables/p/by class/{number}.json")
        assert Table.from_json(json.loads(Path(kept).read_text())) == table


def test_a_run_that_goes_on_keeps_its_parameters_and_takes_new_ones(store, client, tmp_path, capsys):
    for params in ({"trials": 8}, {"trials": 9, "epochs": 3}):
        reporter = Reporter(tmp_path / "box", "parameters", "one")
        reporter.study("my study", params, {})
        reporter.close()
        assert send(store, tmp_path / "box") == 0
    (run,) = client.search_runs([client.get_experiment_by_name("parameters").experiment_id])
    assert run.data.params == {"trials": "8", "epochs": "3"}
    assert "refused" not in capsys.readouterr().err


def test_going_on_writes_into_the_same_runs(store, client, tmp_path):
    for _ in range(2):
        report(tmp_path / "box", "again", "one").close()
        assert send(store, tmp_path / "box") == 0
    assert names(client, "again") == ["my study", "t"]


def test_an_alias_moves_to_what_is_better_and_to_what_cannot_be_compared(store, client, tmp_path):
    def offer(name, accuracy, palette):
        row = winning_row(
            [trial(f"x-{name}", [epoch(shuffled=(accuracy, 0))], **{"dataset/palette": palette})], "shuffled"
        )
        reporter = report(tmp_path / "box", "aliases", "x", trials=(name,))
        reporter.champion("some-dataset", row, "best/shuffled")
        reporter.close()
        assert send(store, tmp_path / "box") == 0
        run = client.get_run(client.get_model_version_by_alias("some-dataset", "shuffled").run_id)
        return run.info.run_name

    assert offer("good", 0.8, "reproduced") == "good"
    assert offer("worse", 0.7, "reproduced") == "good"
    assert offer("better", 0.9, "reproduced") == "better"
    assert offer("other", 0.1, "separated") == "other"


def test_a_store_that_cannot_be_opened_keeps_the_messages(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("study.tracking.sender.PATIENCE_SECONDS", 3)
    report(tmp_path / "box", "kept", "one").close()
    nowhere = Sender(tmp_path / "box", "http://127.0.0.1:9", store / "artifacts")
    nowhere.start()
    assert nowhere.finish() == 4
    assert "MLflow cannot be reached, the study continues" in capsys.readouterr().err
    left = Outbox(tmp_path / "box")
    assert [type(posted.message) for posted in left.first(10)] == [StudyBegan, TrialBegan, EpochEnded, Ended]
    left.close()


def test_a_stopped_study_does_not_say_that_it_continues(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("study.stopping.received", lambda: True)
    monkeypatch.setattr("study.tracking.sender.PATIENCE_SECONDS", 1)
    report(tmp_path / "box", "kept", "one").close()
    nowhere = Sender(tmp_path / "box", "http://127.0.0.1:9", tmp_path / "artifacts")
    nowhere.start()
    assert nowhere.finish() == 4
    assert capsys.readouterr().err == ""


def test_an_address_that_is_none_of_mlflows_is_refused():
    check_tracking("postgresql+psycopg2://host/db")
    with pytest.raises(SettingError, match=r"must begin with one of sqlite, .* but got 'ftp://x'"):
        check_tracking("ftp://x")
