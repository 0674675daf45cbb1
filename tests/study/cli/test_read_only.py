"""A study's folder that cannot be written: reading does not write."""

import json
import shutil
import subprocess

import pytest
from made import recorded

from bgbias.checkpoint import FORMAT
from study.record.folder import SEARCH
from study.record.selection import winners

METRICS = {"val/shuffled/accuracy": 0.2}


@pytest.fixture
def archive(tmp_path, mounted):
    """A finished study on a disk that is mounted for reading."""
    disk = mounted("20m")
    folder = recorded(tmp_path / "mine")
    described = {
        "format": FORMAT,
        "classes": ["a"],
        "config": {},
        "epoch": 2,
        "metrics": {"val/shuffled/accuracy": 0.2},
    }
    (folder.checkpoint(winners(folder.finished(SEARCH))[0]) / "config.json").write_text(json.dumps(described))
    shutil.copytree(folder.root, disk / "mine")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    return disk / "mine"


def test_report_prints_its_tables_and_says_that_the_figures_are_left_out(archive, study, tmp_path):
    code, out, err = study("report", archive)
    assert code == 0
    assert "40.00" in out
    assert f"the figures are left out, since {archive / 'report'} cannot be written (Read-only file system)" in err
    code, out, _ = study("report", archive, "--json", "--out", tmp_path / "figures")
    assert code == 0
    assert {row["test_accuracy"] for row in json.loads(out)["rows"]} == {0.4, 0.2}
    assert (tmp_path / "figures" / "overview.html").is_file()
    assert json.loads((tmp_path / "figures" / "report.json").read_text()) == json.loads(out)


@pytest.mark.parametrize("command", [["resume"], ["report", "--send"]])
def test_what_must_write_says_so_in_one_line(archive, study, command):
    code, out, err = study(*command, archive)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{archive} cannot be written (Read-only file system): copy it to where it can, and use the copy" in err


def test_the_best_checkpoint_is_found(archive, study):
    code, out, _ = study("best", archive, "--variant", "shuffled", "--json")
    assert code == 0
    assert json.loads(out)["metrics"] == METRICS
