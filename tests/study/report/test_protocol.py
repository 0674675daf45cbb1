"""The table of what each method is given, costs and reaches."""

import pytest
from made import epoch, trial
from test_analysis import report

from bgbias.metrics import BACKWARD_PASSES, FORWARD_PASSES
from study.report import protocol, reading


def run(name, method, validation, worst, passes, stage="search", **config):
    history = [
        {
            **epoch(original=(0.9, 0.8), shuffled=(value, value / 2)),
            "test/shuffled/worst_class_accuracy": value / 4,
            "test/original/worst_group_accuracy": worst,
            FORWARD_PASSES: passes,
            BACKWARD_PASSES: passes,
        }
        for value in validation
    ]
    return trial(name, history, space=method, stage=stage, **{"method/name": method, **config})


@pytest.fixture
def found():
    trials = [
        run("a", "erm", (0.2, 0.4), 0.1, 100),
        run("b", "dynamic_replacement", (0.6, 0.5), 0.2, 150, **{"method/p": 0.1}),
        run("c", "dynamic_replacement", (0.5, 0.8), 0.3, 150, **{"method/p": 0.2}),
    ]
    seeds = [
        run(f"s{seed}", "dynamic_replacement", (0.4, value), 0.5, 150, stage="confirm", **{"method/p": 0.2}, seed=seed)
        for seed, value in ((1, 0.6), (2, 1.0))
    ]
    return report(trials, seeds)


def test_what_methods_are_given_and_cost_stands_beside_what_they_reach(found):
    rows = protocol.protocol_rows(found)
    assert rows["erm"].supervision == "none"
    assert rows["dynamic_replacement"].supervision == "mask, background"
    assert (rows["erm"].cost, rows["dynamic_replacement"].cost) == (1, 1.5)
    assert (rows["erm"].budget.searched, rows["dynamic_replacement"].budget.searched) == (0, 1)
    # erm has no fresh seeds: its winner, at the epoch with the highest validation value of the objective
    assert rows["erm"].reached == {
        "original": [0.8], "original worst group": [0.1], "shuffled": [0.2], "shuffled worst class": [0.1],
    }  # fmt: skip
    assert rows["dynamic_replacement"].reached["shuffled"] == pytest.approx([0.3, 0.5])
    assert rows["dynamic_replacement"].reached["shuffled worst class"] == pytest.approx([0.15, 0.25])


def test_the_table_says_whose_numbers_it_holds(found):
    grid = reading.protocol_table(found)
    assert grid.title.endswith("2 fresh seeds, mean ± standard deviation")
    assert grid.columns[:4] == ["supervision", "epoch cost (erm = 1)", "trials", "searched settings"]
    assert grid.rows["dynamic_replacement"][:4] == ["mask, background", "1.50", "2", "1"]
    assert grid.rows["dynamic_replacement"][grid.columns.index("shuffled")] == "40.00 ± 14.14"
    assert "| erm | none | 1.00 | 1 | 0 |" in reading.markdown([found])


def test_of_a_method_that_is_not_known_here_the_supervision_is_left_open():
    assert protocol.supervision(trial("x", [], **{"method/name": "someones_own"})) is None
