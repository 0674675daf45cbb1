"""Messages that MLflow refuses are kept and can be sent again, from the study's own record."""

import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from made import recorded
from mlflow import MlflowClient

import study.study
from bgbias.errors import SettingError
from study.errors import ReportsMissingError
from study.record.epoch import EpochReport
from study.tracking import sender
from study.tracking.reporter import Reporter
from study.tracking.sender import Sender


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store that is made once, since that takes seconds."""
    store = tmp_path_factory.mktemp("store") / "runs.db"
    MlflowClient(f"sqlite:///{store}").search_experiments()
    return store


@pytest.fixture
def uri(store, tmp_path):
    """A store of a test's own."""
    return f"sqlite:///{shutil.copy(store, tmp_path)}"


@pytest.fixture
def nothing_found():
    """The address of a server that answers 404, as a proxy does that does not reach MLflow."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.send_error(404)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *what):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def send(folder):
    study.study.send(folder.read_config(), folder)


def histories(client, experiment="colored-digits"):
    """By run's name its status, times, parameters and every metric's steps, times and values."""
    found = {}
    for run in client.search_runs([client.get_experiment_by_name(experiment).experiment_id]):
        metrics = {
            key: [(m.step, m.timestamp, m.value) for m in client.get_metric_history(run.info.run_id, key)]
            for key in run.data.metrics
        }
        times = (run.info.start_time, run.info.end_time) if "trial_id" in run.data.tags else None
        assert run.info.run_name not in found
        found[run.info.run_name] = (run.info.status, times, run.data.params, metrics)
    return found


def test_runs_are_rebuilt_from_the_record_and_sending_twice_changes_nothing(uri, tmp_path):
    folder, client = recorded(tmp_path / "mine", tracking_uri=uri), MlflowClient(uri)
    send(folder)
    first = histories(client)
    assert first.keys() == {"mine", "erm-0001", "erm-0002"}
    assert {status for status, *_ in first.values()} == {"FINISHED"}
    for trial in folder.trials("search"):
        _, times, params, metrics = first[f"erm-{trial.number:04d}"]
        assert times == (trial.started, trial.ended)
        assert params == {key: str(value) for key, value in trial.config.items()}
        accuracies = [m["val/original/accuracy"] for m in trial.history]
        assert metrics["val/original/accuracy"] == list(
            zip((1, 2), [report.at for report in trial.epochs], accuracies, strict=True)
        )
        assert metrics["best/val.original.accuracy"] == [(0, trial.ended, accuracies[-1])]
    send(folder)
    assert histories(client) == first
    lost = next(run for run in client.search_runs(["1"]) if run.info.run_name == "erm-0002")
    client.delete_run(lost.info.run_id)
    send(folder)
    assert histories(client) == first


def test_a_deleted_experiment_is_found_before_anything_is_sent(uri, tmp_path):
    folder, client = recorded(tmp_path / "mine", tracking_uri=uri), MlflowClient(uri)
    send(folder)
    number = client.get_experiment_by_name("colored-digits").experiment_id
    client.delete_experiment(number)
    restore = rf"was deleted in MLflow: restore it \(`mlflow experiments restore --experiment-id {number}`\) or give an"
    with pytest.raises(SettingError, match=restore):
        send(folder)
    client.restore_experiment(number)
    send(folder)
    assert histories(client).keys() == {"mine", "erm-0001", "erm-0002"}


def test_an_experiment_deleted_while_a_study_runs_keeps_all_reports(uri, tmp_path, monkeypatch):
    monkeypatch.setattr(sender, "PATIENCE_SECONDS", 4)
    client, box = MlflowClient(uri), tmp_path / "box"
    reporter = Reporter(box, "deleted", "s")
    reporter.study("study", {}, {})
    reporter.trial("a", "a", {}, {})
    sending = Sender(box, uri, tmp_path, beside_trials=False)
    sending.start()
    while sending._outbox:
        pass
    number = client.get_experiment_by_name("deleted").experiment_id
    client.delete_experiment(number)
    reporter.epoch("a", EpochReport(1, {"loss": 1.0}))
    reporter.trial("b", "b", {}, {})
    reporter.epoch("b", EpochReport(1, {"loss": 1.0}))
    reporter.close()
    assert sending.finish() == 3
    assert "deleted" in sending.problem
    client.restore_experiment(number)
    sending = Sender(box, uri, tmp_path, beside_trials=False)
    sending.start()
    assert sending.finish() == 0
    logged = {name: metrics.get("loss") for name, (*_, metrics) in histories(client, "deleted").items()}
    assert [[(step, value) for step, _, value in logged[name]] for name in "ab"] == [[(1, 1.0)], [(1, 1.0)]]


def test_a_server_that_is_not_mlflow_keeps_all_reports(nothing_found, tmp_path, monkeypatch):
    monkeypatch.setattr(sender, "PATIENCE_SECONDS", 3)
    folder = recorded(tmp_path / "mine", tracking_uri=nothing_found)
    with pytest.raises(SettingError, match=r"MLflow refuses the experiment 'colored-digits' .*404.*: give another"):
        send(folder)
    reporter = Reporter(folder.outbox, "any", "s")
    reporter.study("study", {}, {})
    reporter.end_study("FINISHED")
    reporter.close()
    sending = Sender(folder.outbox, nothing_found, tmp_path, beside_trials=False)
    sending.start()
    assert sending.finish() == 2


def test_an_experiments_name_that_mlflow_refuses_is_refused_at_once(uri, tmp_path):
    sending = Sender(tmp_path / "box", uri, tmp_path, experiment=600 * "a", beside_trials=False)
    sending.start()
    with pytest.raises(SettingError, match=r"MLflow refuses the experiment 'aaaa.*: give another --experiment"):
        sending.check()
    assert sending.finish() == 0


def test_a_server_that_is_gone_leaves_reports_missing(tmp_path, monkeypatch, study):
    monkeypatch.setattr(sender, "PATIENCE_SECONDS", 2)
    folder = recorded(tmp_path / "mine", tracking_uri="http://127.0.0.1:9")
    with pytest.raises(ReportsMissingError, match=f"reports are missing in MLflow .*study report --send {folder.root}"):
        send(folder)
    code, out, err = study("report", folder.root, "--send")
    assert code == 3
    assert "erm" in out
    assert err.splitlines()[-1].startswith("error: ")
    assert "reports are missing in MLflow" in err.splitlines()[-1]
    assert folder.end().status == "FINISHED"
