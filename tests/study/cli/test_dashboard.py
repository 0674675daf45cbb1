"""Where dashboards open, and what they show."""

import sys

import optuna
import pytest
from mlflow import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from bgbias.errors import SettingError
from study.cli import dashboard
from study.cli.searches import gathered
from study.record.config import StudyConfig
from study.record.folder import StudyFolder
from study.tracking.reporter import Reporter
from study.tracking.sender import Sender


@pytest.fixture
def folder(tmp_path):
    """A study's folder whose run is in its own store."""
    study = StudyFolder(tmp_path / "mine")
    config = StudyConfig(spaces=("erm",))
    study.create(config)
    reporter = Reporter(study.outbox, config.mlflow_experiment, config.study_id)
    reporter.study("mine", {}, {})
    reporter.close()
    sender = Sender(study.outbox, study.tracking_uri(config), study.artifacts)
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


def test_the_server_listens_where_it_is_told(folder):
    command = dashboard.command(folder.root, "127.0.0.1", 5001)
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


def test_all_searches_of_a_study_are_gathered(folder):
    for space, value in (("erm", 0.25), ("mine", 0.75)):
        folder.journal(space).parent.mkdir(exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(folder.journal(space))))
        search = optuna.create_study(study_name=space, storage=storage, direction="maximize")
        search.optimize(lambda trial, value=value: value * trial.suggest_float("p", 1, 1), n_trials=2)
    together = gathered(folder)
    assert sorted(study.study_name for study in together.get_all_studies()) == ["erm", "mine"]
    assert optuna.load_study(study_name="mine", storage=together).best_value == 0.75


def test_a_study_without_a_search_has_nothing_for_optuna_to_show(folder):
    with pytest.raises(SettingError, match=r"no search of .*mine has begun"):
        gathered(folder)


def test_optunas_dashboard_must_be_installed(folder, study, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    code, _, told = study("ui", folder.root, "--optuna")
    assert code == 2
    assert "needs the package optuna-dashboard" in told
    assert "pip install -e '.[server]'" in told
