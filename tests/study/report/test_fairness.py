"""Budgets, the gate of the baseline, and trials on a line, worked out by hand."""

from dataclasses import replace

import pytest
from made import epoch, trial
from test_analysis import report

from study.report.fairness import Budget, budgets, correlation, epoch_costs, line, warnings
from study.report.published import PUBLISHED, Published, beside
from study.report.reading import budget_table


def one(name, original, shifted, space="erm", length=1, **config):
    history = [epoch(original=(original, original), shuffled=(shifted, shifted))] * length
    return replace(trial(name, history, space=space, **config), started=1000, ended=1000 + 2000 * length)


def test_what_each_space_was_given():
    trials = [one("a", 0.9, 0.2, length=4, **{"method/x": 1}), one("b", 0.9, 0.2, length=2, **{"method/x": 2})]
    trials.append(one("c", 0.9, 0.8, space="mine", length=4))
    assert budgets(report(trials)) == [Budget("erm", 2, 1, 6, 12.0, 1), Budget("mine", 1, 0, 4, 8.0, 0)]
    assert budgets(report([replace(trials[0], ended=None)]))[0].seconds is None


def test_equal_compute_is_counted_in_passes_of_which_a_backward_one_costs_two():
    def counted(name, forward, backward, epochs, **more):
        run = one(name, 0.9, 0.2, length=epochs, **more)
        passes = {"train/forward_passes": forward, "train/backward_passes": backward}
        return replace(run, epochs=[replace(e, metrics=e.metrics | passes) for e in run.epochs])

    trials = [counted("a", 100.0, 100.0, 4), counted("b", 100.0, 300.0, 2, space="mine")]
    found = report(trials)
    erm, mine = budgets(found)
    assert (erm.forward, erm.backward, erm.cost) == (400, 400, 1200)
    assert (mine.forward, mine.backward, mine.cost) == (200, 600, 1400)
    assert epoch_costs([erm, mine], "erm") == {"erm": 1, "mine": pytest.approx(7 / 3)}
    assert epoch_costs([erm, mine], "other") == {}
    assert budget_table(found).rows["mine"][-4:] == ["200", "600", "2.33", "0"]
    assert [said for said in warnings(found) if "unequal" in said] == [
        "unequal epochs: erm had 4, mine 2", "unequal seconds: erm had 8, mine 4",
    ]  # fmt: skip
    longer = [trials[0], counted("b", 100.0, 300.0, 4, space="mine")]
    assert "unequal passes: mine had 2,800, erm 1,200" in warnings(report(longer))
    uncounted = budgets(report([trials[0], one("c", 0.9, 0.2)]))[0]
    assert (uncounted.forward, uncounted.cost) == (None, None)


@pytest.mark.parametrize(
    ("original", "shifted", "said"),
    [(0.95, 0.4, None), (0.95, 0.85, "is not broken: it reaches 95.0 % on original"), (0.7, 0.2, "not trained well")],
)
def test_a_baseline_must_be_good_and_broken(original, shifted, said):
    found = warnings(report([one("a", original, shifted), one("b", 0.9, 0.9, space="mine")]))
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_the_first_space_is_the_baseline_where_the_named_one_is_missing():
    found = report([one("a", 0.95, 0.85, space="mine"), one("b", 0.9, 0.9, space="other")])
    assert found.baseline == "mine"
    assert "the baseline mine is not broken" in warnings(found)[0]
    assert "epoch cost (mine = 1)" in budget_table(found).columns


def test_unequal_budgets_are_named():
    trials = [one("a", 0.9, 0.2, length=8), one("b", 0.9, 0.8, space="mine", length=4)]
    assert warnings(report(trials)) == ["unequal epochs: erm had 8, mine 4", "unequal seconds: erm had 16, mine 8"]


def test_trials_on_a_line_measure_accuracy_and_not_robustness():
    steps = range(6)
    trials = [one(str(at), 0.5 + at / 20, 0.1 + at / 20, number=at) for at in steps]
    assert correlation(line(report(trials))) == pytest.approx(1)
    assert "r = 1.00" in warnings(report(trials))[-1]
    assert correlation(line(report(trials[:4]))) is None
    against = [one(str(at), 0.5 + at / 20, 0.6 - at / 20, number=at) for at in steps]
    assert correlation(line(report(against))) == pytest.approx(-1)
    assert not any("r =" in said for said in warnings(report(against)))


def test_published_rows_stand_beside_ours_of_the_same_dataset_and_metric():
    row = Published(
        dataset="colored-digits", method="m", metric="test/shuffled/accuracy", value=0.5, source="s", seeds=3
    )
    other = replace(row, metric="test/mixed_rand/accuracy")
    elsewhere = replace(row, dataset="imagenet9")
    seeds = [one("s", 0.9, 0.5, seed=1), one("t", 0.9, 0.7, seed=2)]
    (found,) = beside(report([one("a", 0.9, 0.3)], seeds), [row, other, elsewhere])
    assert found.published is row
    assert found.ours == {"erm": pytest.approx(0.6)}
    assert found.differences == (
        "model resnet50, ours None; 3 runs, ours 2; chosen: not stated; ours by validation-shuffled"
    )
    assert beside(report([one("a", 0.9, 0.3)], dataset="colored-digits", experiment="waterbirds"), [row]) != []


def test_a_dataset_of_other_classes_is_not_the_published_one():
    row = Published(dataset="waterbirds", method="m", metric="test/shuffled/accuracy", value=0.5, source="s")
    same = {"dataset": "colored-digits", "experiment": "waterbirds"}
    assert beside(report([one("a", 0.9, 0.3)], classes=("land", "water"), **same), [row]) != []
    assert beside(report([one("a", 0.9, 0.3)], classes=("cat", "dog", "cow"), **same), [row]) == []


def test_an_objective_that_is_no_plain_accuracy_is_compared_by_its_fresh_seeds():
    metric = "test/original/worst_group_accuracy"
    row = Published(dataset="colored-digits", method="m", metric=metric, value=0.5, source="s")

    def run(name, worst, **more):
        made = one(name, 0.9, 0.5, **more)
        groups = {metric: worst, metric.replace("test", "val"): worst}
        return replace(made, epochs=[replace(each, metrics=each.metrics | groups) for each in made.epochs])

    seeds = [run("s", 0.2, seed=1), run("t", 0.4, seed=2)]
    (found,) = beside(report([run("a", 0.7)], seeds, objectives=("val/original/worst_group_accuracy",)), [row])
    assert found.ours == {"erm": pytest.approx(0.3)}
    assert "1 runs, ours 2" in found.differences
    (found,) = beside(report([run("a", 0.7)], seeds), [row])
    assert found.ours == {"erm": 0.7}


def test_published_numbers_are_shares_with_a_source_and_no_row_is_there_twice():
    assert all(0 < row.value < 1 and row.source and row.metric.startswith("test/") for row in PUBLISHED)
    keys = [(row.dataset, row.method, row.metric, row.source) for row in PUBLISHED]
    assert len(set(keys)) == len(keys)
    (clad,) = [row.value for row in PUBLISHED if (row.method, row.metric) == ("clad", "test/mixed_rand/accuracy")]
    assert clad == pytest.approx(0.888)
