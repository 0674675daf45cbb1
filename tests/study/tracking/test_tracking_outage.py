"""Reports arrive once and in order whatever happens between the sender and a real MLflow server."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing

import pytest
from made import epoch, trial
from mlflow import MlflowClient
from mlflow_server import MlflowServer, Proxy

from study.record.epoch import EpochReport
from study.record.selection import winning_row
from study.tracking.outbox import Outbox
from study.tracking.protocol import Order
from study.tracking.reporter import Reporter
from study.tracking.sender import Sender, _write

KEYS = ("train/loss/cross_entropy", "val/original/accuracy", "test/original/accuracy")
TRIALS = ("a", "b", "c")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server, whose start takes ten seconds; each test has an experiment of its own."""
    started = MlflowServer(tmp_path_factory.mktemp("server")).start()
    yield started
    started.kill()


@pytest.fixture
def experiment(request):
    return request.node.name


def begin(box, experiment):
    reporter = Reporter(box, experiment, "s")
    reporter.study("the study", {"trials": len(TRIALS)}, {})
    for name in TRIALS:
        reporter.trial(name, name, {"seed": 0}, {})
    return reporter


def put_epochs(reporter, epochs):
    for number in epochs:
        for name in TRIALS:
            reporter.epoch(name, EpochReport(number, dict.fromkeys(KEYS, number / 7)))


def end(reporter):
    for name in TRIALS:
        reporter.end_trial(name, "FINISHED")
    reporter.end_study("FINISHED")
    reporter.close()


def wait_until(true, seconds=120):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def steps_in_order_of_arrival(server, experiment):
    """By trial and metric."""
    query = (
        "SELECT tags.value, metrics.key, metrics.step FROM metrics JOIN tags USING (run_uuid)"
        " JOIN runs USING (run_uuid) JOIN experiments USING (experiment_id)"
        " WHERE tags.key = 'trial_id' AND experiments.name = ?"
        " ORDER BY metrics.rowid"
    )
    found = {}
    with closing(sqlite3.connect(server.folder / "server.db")) as database:
        for name, key, step in database.execute(query, (experiment,)):
            found.setdefault((name, key), []).append(step)
    return found


def check_all_there_once(server, experiment, epochs):
    each = list(range(1, epochs + 1))
    assert steps_in_order_of_arrival(server, experiment) == {(name, key): each for name in TRIALS for key in KEYS}
    client = MlflowClient(server.store)
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["a", "b", "c", "the study"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    (study,) = [run for run in runs if run.info.run_name == "the study"]
    parents = {run.data.tags.get("mlflow.parentRunId") for run in runs if run is not study}
    assert parents == {study.info.run_id}
    for run in runs:
        for key in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, key)
            assert [(m.step, m.value) for m in history] == [(step, step / 7) for step in each]


def test_a_server_killed_in_the_middle_and_back_later_gets_everything_once(server, experiment, tmp_path):
    box = tmp_path / "box"
    reporter, watched = begin(box, experiment), Outbox(box)
    put_epochs(reporter, range(1, 1001))
    sender = Sender(box, server.uri, tmp_path)
    sender.start()
    wait_until(lambda: 0 < len(watched) < 2000)
    server.kill()
    put_epochs(reporter, range(1001, 1101))
    wait_until(lambda: sender.problem is not None)
    left = len(watched)
    assert left > 0
    end(reporter)
    server.start()
    assert sender.finish() == 0
    watched.close()
    check_all_there_once(server, experiment, 1100)


LOSABLE = {
    "/api/2.0/mlflow/experiments/create": 1,
    "/api/2.0/mlflow/runs/create": 4,
    "/api/2.0/mlflow/runs/update": 1,
    "/api/2.0/mlflow/runs/log-batch": 5,
    "/api/2.0/mlflow/registered-models/create": 1,
    "/api/2.0/mlflow/model-versions/create": 1,
    "/api/2.0/mlflow/registered-models/alias": 1,
}
"""How many answers get lost, by path."""


def test_requests_carried_out_whose_answers_are_lost_change_nothing_twice(server, experiment, tmp_path, monkeypatch):
    monkeypatch.setattr("study.tracking.sender.PATIENCE_SECONDS", 200)
    box, checkpoint, left = tmp_path / "box", tmp_path / "checkpoint", Counter(LOSABLE)
    checkpoint.mkdir()
    (checkpoint / "weights").write_text("some")

    def lost(path):
        artifact = path.startswith("/api/2.0/mlflow-artifacts/artifacts/") and left["artifact"] == 0
        key = "artifact" if artifact else path
        left[key] += 1 if artifact else -1
        return artifact or left[key] >= 0

    reporter = begin(box, experiment)
    put_epochs(reporter, range(1, 6))
    reporter.trial_artifacts("b", checkpoint, "best/original")
    row = winning_row([trial("b", [epoch(original=(0.5, 0.4))], **{"dataset/name": "made"})], "original")
    reporter.champion("made", row, "best/original")
    end(reporter)
    with Proxy(server, lost) as proxy:
        sender = Sender(box, proxy.uri, tmp_path)
        sender.start()
        assert sender.finish() == 0
    assert left.pop("artifact") == 1
    assert all(left[path] <= 0 for path in LOSABLE), "every answer was lost as often as was meant"
    made = ("experiments/create", "runs/create", "model-versions/create")
    assert all(left[f"/api/2.0/mlflow/{path}"] == 0 for path in made), "what was made is found, not made again"
    check_all_there_once(server, experiment, 5)
    client = MlflowClient(server.store)
    (version,) = client.search_model_versions("name = 'made'")
    assert client.get_model_version_by_alias("made", "original").version == version.version
    kept = server.folder / "artifacts"
    found = [path.relative_to(kept).parts[2:] for path in kept.rglob("weights")]
    assert found == [("artifacts", "best", "original", "weights")]


def test_a_sender_killed_in_its_calls_sends_the_rest_and_nothing_twice(server, experiment, tmp_path, monkeypatch):
    monkeypatch.setattr("study.tracking.sender.PATIENCE_SECONDS", 200)
    box, killed = tmp_path / "box", Counter()

    def kill_sender(path):
        """Kill it when the server has done its first two of these, before their answers arrive."""
        killed[path] += 1
        if not path.endswith(("runs/create", "runs/log-batch")) or killed[path] > 2:
            return False
        os.kill(sender._process.pid, signal.SIGKILL)
        return True

    reporter = begin(box, experiment)
    put_epochs(reporter, range(1, 401))
    end(reporter)
    with Proxy(server, kill_sender) as proxy:
        sender = Sender(box, proxy.uri, tmp_path)
        sender.start()
        assert sender.finish() == 0
    assert killed["/api/2.0/mlflow/runs/log-batch"] > 2
    check_all_there_once(server, experiment, 400)


def test_a_server_gone_for_good_keeps_the_messages_for_later(server, experiment, tmp_path, monkeypatch):
    monkeypatch.setattr("study.tracking.sender.PATIENCE_SECONDS", 2)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    box = tmp_path / "box"
    reporter = begin(box, experiment)
    put_epochs(reporter, range(1, 4))
    end(reporter)
    put = 1 + 3 + 9 + 4
    with socket.create_server(("127.0.0.1", 0)) as hangs:  # the connection is made, and nothing answers
        sender = Sender(box, f"http://127.0.0.1:{hangs.getsockname()[1]}", tmp_path)
        sender.start()
        assert sender.finish() == put
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    sender = Sender(box, server.uri, tmp_path)
    sender.start()
    assert sender.finish() == 0
    check_all_there_once(server, experiment, 3)


def test_a_run_made_by_a_request_that_nobody_waited_for_goes_away(server, experiment, tmp_path):
    box, client = tmp_path / "box", MlflowClient(server.store)
    reporter = begin(box, experiment)
    put_epochs(reporter, range(1, 3))
    sender = Sender(box, server.uri, tmp_path)
    sender.start()
    assert sender.finish() == 0
    number = client.get_experiment_by_name(experiment).experiment_id
    (real,) = client.search_runs([number], "tags.trial_id = 'b'")
    tags = {name: real.data.tags[name] for name in ("trial_id", "mlflow.parentRunId")}
    for _ in range(5):  # some sort before the real one, some after
        client.create_run(number, start_time=0, run_name="late", tags=tags)
    put_epochs(reporter, range(3, 5))
    end(reporter)
    sender = Sender(box, server.uri, tmp_path)
    sender.start()
    assert sender.finish() == 0
    check_all_there_once(server, experiment, 4)


def test_a_sending_process_that_could_not_be_started_is_started_later(server, experiment, tmp_path, monkeypatch):
    box = tmp_path / "box"
    reporter = begin(box, experiment)
    put_epochs(reporter, range(1, 4))
    end(reporter)
    sender = Sender(box, server.uri, tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", str(tmp_path / "nothing"))
        sender.start()
        wait_until(lambda: sender.problem is not None)
        assert sender.problem.startswith("the sending process did not start: ")
    assert sender.finish() == 0
    check_all_there_once(server, experiment, 3)


def test_a_sending_process_that_dies_before_it_reads_is_started_again(server, experiment, tmp_path, monkeypatch):
    launch, dead = Sender._launch, []

    def die(sender):
        if dead:
            return launch(sender)
        process = subprocess.Popen(["false"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        dead.append(process.wait())
        for text in ("an order", "to the end"):
            _write(process, text)
        return process

    monkeypatch.setattr(Sender, "_launch", die)
    box = tmp_path / "box"
    reporter = begin(box, experiment)
    put_epochs(reporter, range(1, 4))
    end(reporter)
    sender = Sender(box, server.uri, tmp_path)
    sender.start()
    assert sender.finish() == 0
    assert dead == [1]
    check_all_there_once(server, experiment, 3)


def test_a_sending_process_whose_study_died_ends(tmp_path):
    order = Order(str(tmp_path / "box"), "http://127.0.0.1:9", str(tmp_path), experiment=None, beside_trials=False)
    begin(tmp_path / "box", "any").close()
    command = [sys.executable, "-P", "-m", "study.tracking.delivery"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write(order.to_json() + "\n")
        process.stdin.flush()
        assert "problem" in process.stdout.readline()
        process.stdin.close()
        assert process.wait(timeout=60) == 0
