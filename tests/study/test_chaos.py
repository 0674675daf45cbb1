"""A long study while nodes are lost one after the other and MLflow is away for a while."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from clusters import Cluster, answers, free_port
from running import started, wait_until

from study.record.folder import SEARCH, StudyFolder

pytestmark = pytest.mark.slow

TRIALS, EPOCHS, NODES = 200, 3, 3
KILL_SECONDS = 30.0
MLFLOW_AWAY = (60.0, 150.0)
"""When MLflow is killed and when it is back, in seconds after the first trial's end."""


class Mlflow:
    """A real server on loopback, with its store in a file."""

    def __init__(self, folder):
        self.port, self.store = free_port(), folder / "server.db"
        self._command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--backend-store-uri", f"sqlite:///{self.store}", "--artifacts-destination", str(folder / "artifacts")),
        ]
        self._quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

    def start(self):
        self._process = subprocess.Popen(
            [*self._command, "--workers", "1"],
            start_new_session=True,
            env={**os.environ, **self._quiet},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: answers(self.port))

    def kill(self):
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def secret(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a-token-of-this-test-only-0123456789")


@pytest.fixture
def cluster(secret):  # noqa: ARG001 - in the environment
    made = Cluster()
    for _ in range(NODES):
        made.add()
    yield made
    made.shut_down()


@pytest.fixture
def mlflow(tmp_path):
    server = Mlflow(tmp_path)
    server.start()
    yield server
    server.kill()


def disturb(process, folder, cluster, mlflow):
    """Lose nodes and MLflow until the study ends; how many nodes were lost."""
    wait_until(lambda: folder.finished(SEARCH), process)
    began, lost, chosen = time.monotonic(), 0, random.Random(0)
    plan = [(MLFLOW_AWAY[0], mlflow.kill), (MLFLOW_AWAY[1], mlflow.start)]
    while process.poll() is None:
        passed = time.monotonic() - began
        while plan and passed >= plan[0][0]:
            plan.pop(0)[1]()
        if passed >= KILL_SECONDS * (lost + 1):
            cluster.lose(chosen.choice(cluster.nodes[1:]))
            cluster.add()
            lost += 1
        time.sleep(1.0)
    assert not plan, "the study was over before MLflow was back: let it have more trials"
    return lost


def test_every_trial_ends_once_and_every_metric_arrives_once(cluster, mlflow, tmp_path):
    folder = StudyFolder(tmp_path / "study")
    options = ["--trials", TRIALS, "--epochs", EPOCHS, "--no-early-stopping", "--output", folder.root]
    reporting = ["--tracking-uri", f"http://127.0.0.1:{mlflow.port}", "--address", cluster.address]
    with started("run", "dynamic_replacement", *options, *reporting) as process:
        lost = disturb(process, folder, cluster, mlflow)
        errors = process.communicate()[1]
    assert process.returncode == 0, errors
    trials = folder.finished(SEARCH)
    assert len(trials) == len(folder.trials(SEARCH)) == TRIALS
    assert {len(trial.history) for trial in trials} == {EPOCHS}
    recorded = sorted(
        (trial.trial_id, key, epoch, value)
        for trial in trials
        for epoch, metrics in enumerate(trial.history, start=1)
        for key, value in metrics.items()
    )
    with closing(sqlite3.connect(mlflow.store)) as store:
        runs = store.execute("SELECT value FROM tags WHERE key = 'trial_id'").fetchall()
        status = store.execute("SELECT DISTINCT status FROM runs").fetchall()
        arrived = store.execute(
            "SELECT tags.value, metrics.key, metrics.step, metrics.value FROM metrics"
            " JOIN tags ON tags.run_uuid = metrics.run_uuid AND tags.key = 'trial_id'"
        ).fetchall()
    assert sorted(run for (run,) in runs) == sorted(trial.trial_id for trial in trials)
    assert status == [("FINISHED",)]
    epochs = [row for row in arrived if not row[1].startswith("best/")]
    assert sorted(epochs) == recorded
    print(f"{TRIALS} trials, {lost} nodes lost, {len(recorded)} metric values")
