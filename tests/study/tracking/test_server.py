"""One MLflow server for several users: their runs, tags, artifacts and aliases arrive over HTTP."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from made import epoch, trial
from mlflow import MlflowClient
from servers import mlflow_server, postgres_binaries, postgres_database, unprivileged

from study.record.epoch import EpochReport
from study.record.selection import winning_row
from study.report.experiments import reports
from study.tracking.reporter import Reporter
from study.tracking.sender import Sender

USERS = {"anna": 0.9, "ben": 0.8}
"""By user, the accuracy that their study reaches."""
SETTINGS = {"seed": 0, "dataset/name": "colored-digits", "method/name": "erm"}


@pytest.fixture
def readable():
    """A folder that another user of this machine can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="bgbias-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def send(address, folder, user, accuracy):
    """Report a small study of a user and send it."""
    folder.mkdir()
    (folder / "best").mkdir()
    (folder / "best" / "weights").write_text(user)
    reporter = Reporter(folder / "box", "shared", user)
    tags = {"mlflow.user": user, "study": f"study of {user}"}
    reporter.study(f"study of {user}", {"trials": 1}, {**tags, "stage": "study"})
    reporter.trial(f"{user}-1", "erm-0001", SETTINGS, {**tags, "stage": "search", "space": "erm"})
    history = [epoch(shuffled=(accuracy, accuracy))]
    reporter.epoch(f"{user}-1", EpochReport(1, history[0]))
    reporter.trial_artifacts(f"{user}-1", folder / "best", "best/shuffled")
    reporter.tag_trial(f"{user}-1", {"winner": "shuffled"})
    reporter.tag_study({"mlflow.note.content": "see #/experiments/{experiment}/runs/{run}"})
    reporter.tag_experiment({"mlflow.note.content": "number {experiment}"})
    reporter.champion("shared-model", winning_row([trial(f"{user}-1", history)], "shuffled"), "best/shuffled")
    reporter.end_trial(f"{user}-1", "FINISHED")
    reporter.end_study("FINISHED")
    reporter.close()
    sender = Sender(folder / "box", address, folder / "unused")
    sender.start()
    assert sender.finish() == 0


def test_two_users_report_to_one_server_at_once(tmp_path):
    with mlflow_server(f"sqlite:///{tmp_path / 'runs.db'}", tmp_path) as address:
        threads = [
            threading.Thread(target=send, args=(address, tmp_path / user, user, accuracy))
            for user, accuracy in USERS.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client = MlflowClient(address)
        experiment = client.get_experiment_by_name("shared")
        assert experiment.tags["mlflow.note.content"] == f"number {experiment.experiment_id}"
        runs = f"{address}/#/experiments/{experiment.experiment_id}/runs"
        pages = {one.tag: one.links for one in reports("shared", address)}
        for user in USERS:
            (parent,) = client.search_runs(
                [experiment.experiment_id], f"tags.stage = 'study' and tags.`mlflow.user` = '{user}'"
            )
            (child,) = client.search_runs(
                [experiment.experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
            )
            link = f"see #/experiments/{experiment.experiment_id}/runs/{parent.info.run_id}"
            assert parent.data.tags["mlflow.note.content"] == link
            assert (child.data.tags["mlflow.user"], child.data.tags["winner"]) == (user, "shuffled")
            assert (parent.info.status, child.info.status) == ("FINISHED", "FINISHED")
            path = client.download_artifacts(child.info.run_id, "best/shuffled/weights", str(tmp_path / user))
            assert Path(path).read_text() == user
            assert pages[f"study of {user}"] == {
                "the study's run in MLflow": f"{runs}/{parent.info.run_id}",
                "erm, winner on shuffled": f"{runs}/{child.info.run_id}",
            }
        best = client.get_model_version_by_alias("shared-model", "shuffled")
        assert client.get_run(best.run_id).data.tags["mlflow.user"] == "anna"


@pytest.mark.slow
@pytest.mark.skipif(postgres_binaries() is None, reason="PostgreSQL's programs are not on this machine")
@pytest.mark.skipif(unprivileged() is None, reason="PostgreSQL refuses root, and there is no user postgres to become")
@pytest.mark.skipif(
    importlib.util.find_spec("psycopg2") is None, reason="psycopg2 is missing: install the extra `server`"
)
def test_studies_of_two_users_share_a_server_on_postgresql(readable, tmp_path):
    with postgres_database(readable) as database, mlflow_server(database, tmp_path) as address:
        running = [start_study(address, tmp_path, user) for user in USERS]
        for study in running:
            _, told = study.communicate(timeout=600)
            assert study.returncode == 0, told
        client = MlflowClient(address)
        experiment = client.get_experiment_by_name("colored-digits")
        runs = client.search_runs([experiment.experiment_id])
        parents = {run.data.tags["mlflow.user"]: run for run in runs if run.data.tags["stage"] == "study"}
        assert parents.keys() == USERS.keys()
        for user, parent in parents.items():
            mine = f"tags.study = '{user}' and tags.stage = 'search'"
            (child,) = client.search_runs([experiment.experiment_id], mine)
            assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
            assert child.data.tags["winner"] == "original, shuffled, removed"
            files = {item.path for item in client.list_artifacts(parent.info.run_id, "report")}
            assert "report/overview.html" in files
        aliases = client.get_registered_model("colored-digits").aliases
        assert aliases.keys() == {"original", "shuffled", "removed"}
        for variant in aliases:
            name = f"best/val.{variant}.accuracy"
            version = client.get_model_version_by_alias("colored-digits", variant)
            reached = [run.data.metrics[name] for run in runs if name in run.data.metrics]
            assert float(version.tags["val_accuracy"]) == max(reached)


def start_study(address, folder, user):
    command = [
        str(Path(sys.executable).with_name("study")), "run", "erm", "--trials", "1", "--epochs", "2",
        "--seed", str(list(USERS).index(user)), "--tracking-uri", address, "--output", str(folder / user),
    ]  # fmt: skip
    names = {"USER": user, "LOGNAME": user}
    return subprocess.Popen(
        command, env={**os.environ, **names}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
