"""Ctrl-C in the middle of a study, and going on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from mlflow import MlflowClient

from study.folder import SEARCH, StudyFolder

STUDY = str(Path(sys.executable).with_name("study"))
OPTIONS = ["dynamic_replacement", "--trials", "4", "--epochs", "6", "--max-concurrent", "1"]


def outcome(folder):
    """What must not depend on interruptions: each trial's configuration and epochs, speed left out."""
    return [
        (trial.config, [{k: v for k, v in m.items() if "images_per_second" not in k} for m in trial.history])
        for trial in folder.finished(SEARCH)
    ]


def run(root):
    subprocess.run([STUDY, "run", *OPTIONS, "--output", root], check=True, capture_output=True, timeout=300)
    return StudyFolder(root)


def interrupt(root):
    """Start a study and press Ctrl-C once its second trial has an epoch."""
    process = subprocess.Popen(
        [STUDY, "run", *OPTIONS, "--output", root], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    folder, deadline = StudyFolder(root), time.monotonic() + 200
    while time.monotonic() < deadline:
        trials = folder.trials(SEARCH)
        if len(trials) >= 2 and trials[1].history:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    return folder, process.returncode, errors.strip().splitlines()[-1]


def test_ctrl_c_leaves_a_study_that_goes_on_as_if_never_stopped(tmp_path):
    folder, code, last_line = interrupt(tmp_path / "stopped")
    assert code == 130
    assert "`study resume" in last_line
    assert 1 <= len(folder.finished(SEARCH)) < 4

    subprocess.run([STUDY, "resume", folder.root], check=True, capture_output=True, timeout=300)
    assert outcome(folder) == outcome(run(tmp_path / "whole"))

    client = MlflowClient(f"sqlite:///{folder.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("colored-digits")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 1 + 4
    assert {found.info.status for found in runs} == {"FINISHED"}
    for trial in folder.trials(SEARCH):
        (mine,) = [found for found in runs if found.data.tags.get("trial_id") == trial.trial_id]
        steps = [m.step for m in client.get_metric_history(mine.info.run_id, "val/shuffled/accuracy")]
        assert sorted(steps) == list(range(1, len(trial.history) + 1))
    assert json.loads((folder.report / "report.json").read_text())["rows"]
