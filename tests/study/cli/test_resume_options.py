"""`study resume` with other places and more trials, on real data folders and without training where none is needed."""

import shutil
from dataclasses import replace

import pytest
from made import recorded

from bgbias.errors import SettingError
from study.cli.run import CHANGEABLE
from study.record.config import StudyConfig
from study.record.folder import CONFIRM, REPLACED, SEARCH, StudyFolder
from study.record.selection import same_settings
from study.search.proposals import Seeds
from study.search.ray_search import RecordedSearch
from study.study import plan


def test_resume_takes_every_option_that_says_where_and_how_many(study, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    code, out, _ = study("resume", "--help")
    assert code == 0
    assert all(f"--{name.replace('_', '-')}" in out for name in CHANGEABLE)
    assert "--seed" not in out


def test_fewer_trials_than_have_begun_are_refused(study, tmp_path):
    folder = recorded(tmp_path / "mine")
    code, _, err = study("resume", folder.root, "--trials", 1)
    assert (code, err.count("\n")) == (2, 1)
    assert "--trials counts all trials of each space, of which 2 have begun, but got 1: give 2 or more" in err
    assert folder.read_config().trials == 2


def test_a_wrong_value_is_refused_before_anything_is_changed(study, tmp_path):
    folder = recorded(tmp_path / "mine")
    before = folder.config_file.read_bytes()
    code, _, err = study("resume", folder.root, "--cpus-per-trial", 0)
    assert (code, err.count("\n")) == (2, 1)
    assert "cpus_per_trial" in err
    assert folder.config_file.read_bytes() == before


def test_data_may_move_but_not_change(study, tmp_path, mnist_folder):
    config = StudyConfig(spaces=("erm",), dataset="colored-mnist", data=mnist_folder)
    folder = StudyFolder(tmp_path / "study")
    folder.create(config)
    folder.check_data(plan(config).data)
    moved = shutil.copytree(mnist_folder, tmp_path / "moved")
    folder.check_data(plan(replace(config, data=moved)).data)
    labels = moved / "t10k-labels-idx1-ubyte"
    content = bytearray(labels.read_bytes())
    content[-1] = (content[-1] + 1) % 10
    labels.write_bytes(content)
    changed = shutil.move(moved, tmp_path / "changed")
    code, out, err = study("resume", folder.root, "--data", changed)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "a study keeps its data, but test/original, test/shuffled, test/removed differ" in err
    assert folder.read_config().data == mnist_folder


def test_a_trial_that_goes_on_finds_the_data_where_they_are_now(tmp_path):
    folder = StudyFolder(tmp_path / "study")
    folder.create(StudyConfig(spaces=("erm",)))
    folder.start_trial("aaaa", 1, "erm", SEARCH, {"method/name": "erm", "data": "/old", "seed": 0})
    fixed = {"method/name": "erm", "data": "/new", "seed": 0}
    search = RecordedSearch(folder, SEARCH, "erm", Seeds([0]), fixed, lambda: 1)
    assert '"data": "/new"' in search.suggest("ray")["settings"]
    assert same_settings(folder.trial("aaaa").config, {**fixed, "seed": 5})


def test_trials_on_fresh_seeds_of_an_earlier_winner_leave_the_tables(tmp_path):
    folder = recorded(tmp_path / "study")
    folder.start_trial("cccc", 3, "erm", CONFIRM, {"method/name": "erm", "seed": 1})
    folder.replace_trial("cccc")
    assert folder.trials(CONFIRM) == []
    assert [trial.trial_id for trial in folder.trials(REPLACED)] == ["cccc"]


def test_data_that_differ_are_named(tmp_path):
    folder = StudyFolder(tmp_path / "study")
    folder.create(StudyConfig(spaces=("erm",)))
    found = plan(StudyConfig(spaces=("erm",))).data
    folder.check_data(found)
    folder.check_data(found)
    with pytest.raises(SettingError, match="a study keeps its data, but test/shuffled differ from those it began with"):
        folder.check_data({**found, "test/shuffled": "other"})
