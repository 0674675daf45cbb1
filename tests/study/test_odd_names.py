"""Paths with every odd character, from a study's start to what MLflow keeps of it."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from running import run

from study.record.folder import SEARCH, StudyFolder
from study.record.sqlite_uri import uri_of

SPACE = """
from bgbias.methods.erm import Erm
from study.space import SearchSpace
SPACE = SearchSpace(method=Erm, params={})
"""
ODD = 'ü #1 %20?it\'s "so" [x] &;'
OPTIONS = ("--trials", 1, "--epochs", 1)


def check_artifacts(folder, tmp_path):
    """MLflow gives back the checkpoint and the report that it keeps."""
    config = folder.read_config()
    client = MlflowClient(folder.tracking_uri(config))
    experiment = client.get_experiment_by_name(config.mlflow_experiment).experiment_id
    (trial,) = client.search_runs([experiment], "tags.stage = 'search'")
    kept = Path(client.download_artifacts(trial.info.run_id, "best/shuffled", str(tmp_path)))
    assert (kept / "model.safetensors").is_file()


@pytest.mark.slow
def test_a_study_whose_every_path_is_odd(tmp_path, mnist_folder):
    root = tmp_path / ODD
    for name in ("real data", "spaces", "stores", "got"):
        (root / name).mkdir(parents=True)
    for file in mnist_folder.iterdir():
        shutil.copy(file, root / "real data")
    (root / "data link").symlink_to("real data")
    space = root / "spaces" / "my space %41.py"
    space.write_text(SPACE)
    folder = StudyFolder(root / ("n" * 200))
    run(
        "run", space, *OPTIONS, "--dataset", "colored-mnist",
        "--data", root / "spaces" / ".." / "data link",
        "--storage", root / "stores" / "a?b",
        "--tracking-uri", uri_of(root / "stores" / "runs%201.db"),
        "--output", folder.root,
    )  # fmt: skip
    (trial,) = folder.finished(SEARCH)
    assert trial.space == "my space %41"
    assert (root / "stores" / "runs%201.db").is_file()
    assert (root / "stores" / "a?b").is_dir()
    check_artifacts(folder, root / "got")
    found = json.loads(run("best", folder.root, "--variant", "shuffled", "--json"))
    evaluated = json.loads(run("evaluate", found["checkpoint"], "--json"))
    assert evaluated["metrics"]["test/shuffled/accuracy"] == found["metrics"]["test/shuffled/accuracy"]
    assert sorted(path.name for path in root.iterdir()) == sorted(
        ["data link", "got", "n" * 200, "real data", "spaces", "stores"]
    )
    assert [path.name for path in tmp_path.iterdir()] == [ODD]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a?b", "run%201", "a b", "it's", "#1", "ü", "../x/./y"])
def test_a_studys_own_store_lies_in_a_folder_of_any_name(tmp_path, name):
    (tmp_path / "x").mkdir()
    (tmp_path / "work").mkdir()
    run("run", "erm", *OPTIONS, "--output", name, cwd=tmp_path / "work")
    folder = StudyFolder((tmp_path / "work" / name).resolve())
    assert len(folder.finished(SEARCH)) == 1
    (tmp_path / "got").mkdir()
    check_artifacts(folder, tmp_path / "got")
    assert {path.name for path in tmp_path.iterdir()} == {"got", "work", "x"}
