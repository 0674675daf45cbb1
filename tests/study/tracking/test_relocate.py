"""Studies whose folders were moved or copied, and stores that several share."""

import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from made import recorded
from mlflow import MlflowClient

import study.study
from study.record.folder import StudyFolder
from study.tracking.relocate import is_elsewhere, readable


def send(folder):
    study.study.send(folder.settled(folder.read_config()), folder)


def files(folder):
    """Every file below a folder, with its time and size."""
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*") if path.is_file()}


def weights(folder):
    """The checkpoint's file that a study's own store holds, listed by MLflow's client, and the places of all runs."""
    client = MlflowClient(folder.tracking_uri(folder.read_config()))
    runs = client.search_runs([client.get_experiment_by_name("colored-digits").experiment_id])
    (winner,) = [run for run in runs if run.info.run_name == "erm-0002"]
    assert [item.path for item in client.list_artifacts(winner.info.run_id, "best/shuffled")] == [
        "best/shuffled/weights"
    ]
    path = Path(url2pathname(urlsplit(winner.info.artifact_uri).path)) / "best" / "shuffled" / "weights"
    assert path.is_file()
    return path, {run.info.artifact_uri for run in runs}


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """A study in whose own store everything is."""
    folder = recorded(tmp_path_factory.mktemp("sent") / "a study")
    send(folder)
    return folder


@pytest.fixture
def original(sent, tmp_path):
    """The same in a folder of a test's own, copied."""
    return StudyFolder(shutil.copytree(sent.root, tmp_path / "first"))


def test_a_copy_writes_into_itself_and_leaves_the_original_alone(sent, original):
    before = files(sent.root)
    send(original)
    assert files(sent.root) == before
    path, places = weights(original)
    assert path.is_relative_to(original.own_artifacts)
    assert all(place.startswith(original.own_artifacts.as_uri()) for place in places)
    assert original.read_config().study_id == sent.read_config().study_id


def test_a_moved_study_does_not_make_its_old_folder_again(original, tmp_path):
    moved = StudyFolder(original.root.rename(tmp_path / "second #2 %20"))
    with readable(moved, moved.read_config()) as (uri, _):
        assert uri == moved.tracking_uri(moved.read_config())
    assert not is_elsewhere(moved.store, moved.own_artifacts)
    path, _ = weights(moved)
    assert path.is_relative_to(moved.own_artifacts)
    send(moved)
    assert not original.root.exists()


def test_a_store_that_is_where_it_was_is_not_written_to(sent):
    before = files(sent.root)
    with readable(sent, sent.read_config()) as (uri, _):
        assert uri == sent.tracking_uri(sent.read_config())
    assert files(sent.root) == before


def test_a_moved_store_that_cannot_be_written_is_read_from_a_copy(sent, mounted):
    disk = mounted("60m")
    moved = StudyFolder(shutil.copytree(sent.root, disk / "archive"))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with readable(moved, moved.read_config()) as (uri, _):
        client = MlflowClient(uri)
        runs = client.search_runs([client.get_experiment_by_name("colored-digits").experiment_id])
        assert len(runs) == 3
        assert all(run.info.artifact_uri.startswith(moved.own_artifacts.as_uri()) for run in runs)
        assert uri != moved.tracking_uri(moved.read_config())


def test_studies_that_share_an_sqlite_store_keep_their_artifacts_beside_it(sent, tmp_path):
    shared = tmp_path / "shared" / "runs.db"
    shared.parent.mkdir()
    shutil.copy(sent.store, shared)
    uri = f"sqlite:///{shared}"
    studies = [recorded(tmp_path / name, tracking_uri=uri, experiment="both") for name in ("one", "two")]
    for folder in studies:
        for trial in folder.trials("search"):
            assert trial.trial_id in ("aaaa", "bbbb")  # the same in both studies, as in a copy
        send(folder)
        assert not folder.own_artifacts.exists()
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("both").experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["erm-0001", "erm-0001", "erm-0002", "erm-0002", "one", "two"]
    assert {run.info.artifact_uri.rpartition("/mlartifacts/")[0] for run in runs} == {shared.parent.as_uri()}
    kept = sorted(path.read_text() for path in (shared.parent / "mlartifacts").rglob("shuffled/weights"))
    assert kept == ["one", "two"]


def test_a_copy_that_shares_a_store_becomes_a_study_of_its_own(tmp_path):
    shared = {"tracking_uri": "http://127.0.0.1:9"}
    first = recorded(tmp_path / "first", **shared)
    copy = StudyFolder(shutil.copytree(first.root, tmp_path / "copy"))
    taken = copy.settled(copy.read_config())
    assert taken.study_id != first.read_config().study_id
    assert copy.read_config() == taken
    assert copy.settled(taken) == taken
    moved = StudyFolder(first.root.rename(tmp_path / "moved"))
    assert moved.settled(moved.read_config()).study_id == moved.read_config().study_id != taken.study_id
