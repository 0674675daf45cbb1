"""Configurations that get fresh seeds, output of a repeated search, and errors of `study confirm`."""

import json

import pytest
from made import epoch, recorded, trial
from running import run

from study.record.config import StudyConfig
from study.record.folder import CONFIRM, REPEAT, SEARCH, StudyEnd, StudyFolder
from study.report.tables import make_report, tuning_rows
from study.report.text import spread_table
from study.study import to_confirm

SHUFFLED, ORIGINAL = "val/shuffled/accuracy", "val/original/accuracy"


def searched():
    values = (0.5, 0.9, 0.7, 0.9)
    history = [[epoch(original=(1 - value, 0.1), shuffled=(value, 0.0))] for value in values]
    return [trial(str(n), one, number=n, **{"method/x": n}) for n, one in enumerate([*history, []], start=1)]


def test_the_winner_gets_seeds_under_the_spaces_name_and_the_next_best_under_their_own():
    found = to_confirm("erm", searched(), [SHUFFLED], 3)
    assert [(name, settings["method/x"]) for name, settings in found] == [("erm", 2), ("erm-0004", 4), ("erm-0003", 3)]
    assert to_confirm("erm", searched(), [SHUFFLED], 1) == found[:1]
    assert len(to_confirm("erm", searched(), [SHUFFLED], 9)) == 4


def test_with_several_objectives_it_is_members_of_the_front():
    names = {name for name, _ in to_confirm("erm", searched(), [SHUFFLED, ORIGINAL], 1)}
    assert names == {"erm-0001", "erm-0002", "erm-0003"}


def test_the_spread_of_tuning_is_over_the_searches_winners():
    def search(*tests):
        return [trial(str(n), [epoch(shuffled=(n / 10, test))], number=n) for n, test in enumerate(tests, start=1)]

    (row,) = tuning_rows([search(0.1, 0.80), search(0.2, 0.84), search(0.82)])
    assert row.test_accuracies == [0.80, 0.84, 0.82]
    assert (row.mean, row.std) == (pytest.approx(0.82), pytest.approx(0.02))
    assert tuning_rows([search(0.1, 0.8)]) == []


def test_both_spreads_stand_beside_each_other(tmp_path):
    folder = recorded(tmp_path / "mine")
    for at, (stage, space, test) in enumerate(((REPEAT, "erm.2", 0.6), (REPEAT, "erm.3", 0.2)), start=3):
        folder.start_trial(
            str(at), at, space, stage, {"method/name": "erm", "dataset/name": "colored-digits", "seed": 0}
        )
        folder.add_epoch(str(at), trial("x", [epoch(original=(0.5, test), shuffled=(0.5, test))]).epochs[0])
        folder.finish_trial(str(at))
    assert [[t.space for t in trials] for trials in folder.searched_again()] == [["erm"], ["erm"]]
    report = make_report(folder)
    assert {row.space for row in report.rows} == {"erm"}
    grid = spread_table(report)
    assert grid.title.endswith("over the winners of 3 searches")
    assert dict(grid.rows) == {"erm": ["40.00 ± 20.00 | -", "33.33 ± 23.09 | -"]}


@pytest.mark.parametrize(
    ("config", "end", "arguments", "why"),
    [
        ({"confirm_seeds": 3}, "FINISHED", ("--seeds", 2), "give as many or more"),
        ({"confirm_top": 2, "confirm_seeds": 1}, "FINISHED", ("--seeds", 2), "has 1 of 2 for each space"),
        ({}, "KILLED", ("--seeds", 2), "was stopped: let `study resume"),
    ],
)
def test_confirm_refuses_what_would_undo_or_overtake(study, tmp_path, config, end, arguments, why):
    recorded(tmp_path / "mine", **config).record_end(StudyEnd(end))
    code, _, said = study("confirm", tmp_path / "mine", *arguments)
    assert code == 2
    assert why in said


@pytest.mark.slow
def test_fresh_seeds_are_added_to_a_finished_study_and_its_search_is_repeated(tmp_path):
    root = tmp_path / "study"
    small = ("--trials", 2, "--epochs", 2, "--cpus-per-trial", 0.5, "--searches", 2)
    run("run", "erm", "dynamic_replacement", *small, "--output", root)
    folder = StudyFolder(root)
    before = [t.config for t in folder.trials(SEARCH)]
    assert [len(trials) for trials in folder.searched_again()] == [4]
    assert {json.dumps(t.config) for t in folder.trials(REPEAT)}.isdisjoint(map(json.dumps, before))
    run("confirm", root, "--seeds", 2, "--top", 2)
    seeds = {(t.space, t.config["seed"]) for t in folder.finished(CONFIRM)}
    assert len(seeds) == 8
    kept = {t.trial_id for t in folder.finished(CONFIRM)}
    run("confirm", root, "--seeds", 3, "--top", 2)
    assert kept < {t.trial_id for t in folder.finished(CONFIRM)}
    assert len(folder.finished(CONFIRM)) == 12
    assert [t.config for t in folder.trials(SEARCH)] == before
    assert folder.read_config() == StudyConfig(**{**vars(folder.read_config()), "confirm_seeds": 3, "confirm_top": 2})
