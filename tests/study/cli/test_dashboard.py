"""Addresses and contents of dashboards."""

import http.client
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from running import PATIENCE, descendants, started, wait_until
from servers import free_port

from bgbias.errors import SettingError
from study.cli import dashboard
from study.cli.searches import gathered
from study.record.config import StudyConfig
from study.record.folder import StudyFolder
from study.tracking.reporter import Reporter
from study.tracking.sender import Sender


@pytest.fixture
def begun(tmp_path):
    """A study's folder in which nothing has happened yet."""
    study = StudyFolder(tmp_path / "mine")
    study.create(StudyConfig(spaces=("erm",)))
    return study


@pytest.fixture
def folder(begun):
    """A study's folder whose run is in its own store."""
    study, config = begun, begun.read_config()
    reporter = Reporter(study.outbox, config.mlflow_experiment, config.study_id)
    reporter.study("mine", {}, {})
    reporter.close()
    sender = Sender(study.outbox, study.tracking_uri(config), study.own_artifacts)
    sender.start()
    assert sender.finish() == 0
    return study


def test_the_page_is_the_parent_runs(folder):
    config = folder.read_config()
    uri = folder.tracking_uri(config)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("colored-digits").experiment_id
    (run,) = client.search_runs([experiment])
    assert dashboard.study_page(uri, config) == f"#/experiments/{experiment}/runs/{run.info.run_id}"
    assert dashboard.study_page(uri, StudyConfig(spaces=("erm",))) == f"#/experiments/{experiment}"
    assert dashboard.study_page(uri, StudyConfig(experiment="another")) == ""


def test_a_study_on_a_server_of_its_own_is_only_pointed_to(tmp_path, study):
    folder = StudyFolder(tmp_path / "far")
    folder.create(StudyConfig(tracking_uri="http://127.0.0.1:9/"))
    code, _, told = study("ui", folder.root, "--no-browser")
    assert code == 0
    assert "this study reports to a server of its own: http://127.0.0.1:9/" in told


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", "http://127.0.0.1:5000"), ("0.0.0.0", "http://127.0.0.1:5000")]
)
def test_a_server_that_listens_everywhere_is_found_on_loopback(host, expected):
    assert dashboard.address(host, 5000) == expected


@pytest.mark.parametrize("more", [[], ["--optuna"]])
def test_a_used_port_is_refused_with_the_way_out(begun, study, more):
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        code, _, told = study("ui", begun.root, "--port", port, "--no-browser", *more)
    assert (code, told) == (
        2,
        f"error: nothing can listen on port {port} of 127.0.0.1 (Address already in use): give another --port or "
        "--host, or stop the server that listens there\n",
    )


@pytest.mark.parametrize(("port", "rule"), [(0, "greater than or equal to 1"), (80000, "less than or equal to 65535")])
def test_a_port_out_of_range_is_refused(begun, study, port, rule):
    code, _, told = study("ui", begun.root, "--port", port)
    assert (code, told.count("\n")) == (2, 1)
    assert "--port" in told
    assert rule in told


def test_a_server_that_listens_everywhere_may_be_opened_by_this_machines_name(monkeypatch):
    for name in (dashboard.HOSTS, dashboard.ORIGINS):
        monkeypatch.delenv(name, raising=False)
    assert dashboard.names_of("127.0.0.1") == []
    assert dashboard.names_of("10.1.2.3") == ["10.1.2.3"]
    assert socket.gethostname() in dashboard.names_of("0.0.0.0")
    given = dashboard.allowed(["box"], 5000)
    assert given[dashboard.HOSTS] == "localhost:5000,127.0.0.1:5000,[::1]:5000,box:5000"
    assert "http://box:5000" in given[dashboard.ORIGINS].split(",")
    monkeypatch.setenv(dashboard.HOSTS, "*")
    assert dashboard.allowed(["box"], 5000)[dashboard.HOSTS] == "*"


def asked(port, host, **headers):
    """The status of a server's answer to a search by a page that was opened under a host's name."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        body = json.dumps({"max_results": 1})
        given = {"Host": f"{host}:{port}", "Origin": f"http://{host}:{port}", "Content-Type": "application/json"}
        connection.request("POST", "/ajax-api/2.0/mlflow/experiments/search", body, given | headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_dashboard_answers_by_host_name_keeps_its_messages_and_leaves_no_process(folder):
    port = free_port()
    options = ("--host", "0.0.0.0", "--port", port, "--no-browser")
    with started("ui", folder.root, *options, start_new_session=True) as process:
        wait_until(lambda: "startup complete" in read(folder.root / dashboard.LOG), process)
        wait_until(lambda: listens(port), process)
        found = [asked(port, host) for host in (socket.gethostname(), "127.0.0.1", "elsewhere.example")]
        below = descendants(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        told = check_stopped(process, folder, below, signal.SIGINT)
    assert [line.partition(" ")[0] for line in told] == ["MLflow", "from", "stopped"]
    assert found == [200, 200, 403]


def check_stopped(process, folder, below, number):
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number
    assert told.splitlines()[-1] == f"stopped by {number.name}: `study ui {folder.root}` opens it again"
    assert below
    assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]
    return told.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("send", [os.kill, os.killpg])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_dashboard_stops_by_any_signal(folder, send, number):
    port = free_port()
    with started("ui", folder.root, "--port", port, "--no-browser", start_new_session=True) as process:
        wait_until(lambda: listens(port), process)
        below = descendants(process.pid)
        since = time.monotonic()
        send(process.pid, number)
        assert len(check_stopped(process, folder, below, number)) == 2
    assert time.monotonic() - since < 10


def read(file):
    return file.read_text() if file.exists() else ""


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_server_listens_where_it_is_told(begun):
    command = dashboard.command(begun.own_artifacts, "127.0.0.1", 5001)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "5001"


@pytest.mark.parametrize(
    ("platform", "names", "expected"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("darwin", {}, True),
    ],
)
def test_a_browser_is_opened_only_where_there_are_windows(monkeypatch, platform, names, expected):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert dashboard.has_windows() is expected


def test_all_searches_of_a_study_are_gathered(begun):
    for space, value in (("erm", 0.25), ("mine", 0.75)):
        begun.journal(space).parent.mkdir(exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(begun.journal(space))))
        search = optuna.create_study(study_name=space, storage=storage, direction="maximize")
        search.optimize(lambda trial, value=value: value * trial.suggest_float("p", 1, 1), n_trials=2)
    together = gathered(begun)
    assert sorted(study.study_name for study in together.get_all_studies()) == ["erm", "mine"]
    assert optuna.load_study(study_name="mine", storage=together).best_value == 0.75


def test_a_study_without_a_search_has_nothing_for_optuna_to_show(begun):
    with pytest.raises(SettingError, match=r"no search of .*mine has begun"):
        gathered(begun)


def test_optunas_dashboard_must_be_installed(folder, study, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    code, _, told = study("ui", folder.root, "--optuna")
    assert code == 2
    assert "needs the package optuna-dashboard" in told
    assert "pip install -e '.[server]'" in told
