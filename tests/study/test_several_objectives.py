"""A study of several objectives, killed and resumed, ends with the front of one that was never stopped."""

import json

import pytest
from running import run, started, trial_of, wait_until

from study.record.folder import StudyFolder

OBJECTIVES = ("val/shuffled/accuracy", "val/original/accuracy")
OPTIONS = (
    *("dynamic_replacement", "--objective", OBJECTIVES[0], "--objective", "original"),
    *("--trials", 3, "--epochs", 2, "--max-concurrent", 1),
)


def without_ids(front):
    return [{key: value for key, value in member.items() if key != "trial"} for member in front]


@pytest.mark.slow
def test_a_killed_study_of_several_objectives_ends_with_the_same_front(tmp_path):
    whole = json.loads(run("run", *OPTIONS, "--output", tmp_path / "whole", "--json"))
    folder = StudyFolder(tmp_path / "killed")
    with started("run", *OPTIONS, "--output", folder.root) as process:
        wait_until(lambda: trial_of(folder, number=2, epochs=1), process)
        process.kill()
    killed = json.loads(run("resume", folder.root, "--json"))
    assert without_ids(killed["front"]) == without_ids(whole["front"])
    assert killed["objectives"] == list(OBJECTIVES)
    best = json.loads(run("best", folder.root, "--prefer", "original", "--json"))
    values = [member["values"]["val/original/accuracy"] for member in killed["front"]]
    assert best["metrics"]["val/original/accuracy"] == max(values)
    assert all(folder.keeper("search").path(m["space"], m["trial"], m["epoch"]).is_dir() for m in killed["front"])
