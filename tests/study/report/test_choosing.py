"""Results of selection rules and their costs, computed by hand."""

import pytest
from made import trial

from bgbias.errors import UnknownNameError
from bgbias.table import Table
from study.record.config import StudyConfig
from study.report import text
from study.report.choosing import default_metrics, remarks, rule_rows

CONFIG = StudyConfig()


def epoch(original, shuffled, tested=True):
    """`(validation accuracy, validation worst class, validation worst group, test accuracy)` of both variants."""
    found = {}
    for variant, (accuracy, worst_class, worst_group, test) in {"original": original, "shuffled": shuffled}.items():
        found |= {
            f"val/{variant}/accuracy": accuracy,
            f"val/{variant}/balanced_accuracy": accuracy,
            f"val/{variant}/worst_class_accuracy": worst_class,
            f"val/{variant}/worst_group_accuracy": worst_group,
        }
        if tested:
            found |= {f"test/{variant}/accuracy": test, f"test/{variant}/worst_group_accuracy": test / 2}
    return found


def runs(**space):
    return [
        trial("a", [epoch((0.9, 0.8, 0.1, 0.9), (0.3, 0.3, 0.1, 0.35))], number=1, **space),
        trial("b", [epoch((0.8, 0.7, 0.5, 0.8), (0.6, 0.5, 0.4, 0.55))], number=2, **space),
        trial("c", [epoch((0.7, 0.6, 0.3, 0.7), (0.5, 0.5, 0.3, 0.65))], number=3, **space),
    ]


def by_rule(rows, metric, space="erm"):
    return {row.rule: (row.trial, row.values[metric], row.cost[metric]) for row in rows if row.space == space}


def test_each_rule_has_its_value_and_its_cost_against_the_oracle_of_that_metric():
    found = by_rule(rule_rows(CONFIG, runs()), "test/shuffled/accuracy")
    assert found["validation-average"] == ("a", 0.35, pytest.approx(0.30))
    assert found["validation-worst-class"] == ("a", 0.35, pytest.approx(0.30))
    assert found["validation-worst-group"] == ("b", 0.55, pytest.approx(0.10))
    assert found["validation-shuffled"] == ("b", 0.55, pytest.approx(0.10))
    assert found["oracle-shuffled"] == ("c", 0.65, 0)


def test_what_group_labels_change_is_the_worst_groups_rule_against_the_worst_classs():
    trials = [*runs(), *runs(space="jtt")]
    said = remarks(rule_rows(CONFIG, trials, metrics=["shuffled"]), trials)
    assert said == [
        "moved backgrounds and group labels for choosing (validation-worst-group instead of validation-worst-class) "
        "change test shuffled by +20.00 points on average: erm +20.00, jtt +20.00"
    ]


def test_every_seeds_epoch_is_chosen_by_the_rule():
    late = epoch((0.7, 0.6, 0.6, 0.7), (0.9, 0.9, 0.6, 0.80))
    early = epoch((0.9, 0.8, 0.1, 0.9), (0.3, 0.3, 0.1, 0.35))
    seeds = [trial("s", [early, late], stage="confirm", seed=1), trial("t", [late, early], stage="confirm", seed=2)]
    rows = {row.rule: row.seeds for row in rule_rows(CONFIG, runs(), seeds, metrics=["shuffled"])}
    assert rows["validation-average"] == {"test/shuffled/accuracy": [0.35, 0.35]}
    assert rows["validation-shuffled"] == {"test/shuffled/accuracy": [0.80, 0.80]}
    assert rows["last-epoch"] == {"test/shuffled/accuracy": [0.80, 0.35]}


def test_a_rule_whose_epoch_was_not_evaluated_on_test_data_says_so():
    history = [epoch((0.9, 0.8, 0.1, 0.9), (0.3, 0.3, 0.1, 0), tested=False), epoch((0.5,) * 4, (0.6,) * 4)]
    trials = [trial("a", history)]
    rows = rule_rows(CONFIG, trials, metrics=["shuffled"], names=["validation-average", "oracle-shuffled"])
    assert by_rule(rows, "test/shuffled/accuracy")["validation-average"] == ("a", None, None)
    first, second = remarks(rows, trials)
    assert first.startswith("validation-average chose epoch 1 of erm's trial a, which has no test/shuffled/accuracy")
    assert second.startswith("the oracle of test/shuffled/accuracy saw 1 of 2 evaluated epochs")
    assert "evaluation/test=every" in first
    assert "evaluation/test=every" in second
    honest, oracle = text.rule_tables(rows)
    assert dict(honest.rows) == {"validation-average": ["class labels", "-"]}
    assert dict(oracle.rows) == {"oracle-shuffled": ["test data", "60.00 (0.0)"]}
    assert "choose on test data" in oracle.title


@pytest.mark.parametrize(("names", "metrics"), [(["oracle-nonsense"], []), ([], ["nonsense"])])
def test_a_test_metric_that_no_epoch_has_is_refused(names, metrics):
    with pytest.raises(UnknownNameError, match="unknown test metric 'test/nonsense/accuracy'"):
        rule_rows(CONFIG, runs(), names=names, metrics=metrics)


def test_the_last_epochs_rule_needs_what_the_objective_needs():
    def needs(objective):
        config = StudyConfig(objectives=(objective,))
        (row,) = rule_rows(config, runs(), names=["last-epoch"], metrics=["shuffled"])
        return row.needs

    assert needs("shuffled") == "moved backgrounds"
    assert needs("val/original/accuracy") == "class labels"
    assert needs("val/original/worst_group_accuracy") == "group labels"


def test_a_rule_that_no_epoch_allows_says_so():
    trials = [trial("a", [{"val/original/accuracy": 0.5, "test/original/accuracy": 0.5}])]
    rows = rule_rows(CONFIG, trials, names=["validation-balanced"], metrics=["original"])
    assert remarks(rows, trials) == ["validation-balanced: no evaluated epoch of some space has what it reads"]


def test_the_smallest_group_is_named_where_an_image_moves_it_far():
    tables = {"test/shuffled/count": Table(((4, 0), (100, 60)), ("a", "b"), ("x", "y"))}
    rows = rule_rows(CONFIG, runs(), metrics=["shuffled/worst_group_accuracy"], names=["last-epoch"])
    assert remarks(rows, runs(), tables) == [
        "the smallest group of shuffled/worst_group_accuracy has 4 test images: one image moves it by 25.0 points"
    ]


def test_the_metrics_that_are_shown_are_those_there_are():
    assert default_metrics(CONFIG, runs()) == [
        "test/shuffled/accuracy",
        "test/shuffled/worst_group_accuracy",
        "test/original/accuracy",
    ]
    assert default_metrics(CONFIG, [trial("a", [{"test/original/accuracy": 1.0}])]) == ["test/original/accuracy"]


def test_tables_hold_a_rule_a_row_and_a_space_a_column():
    first, second = text.rule_tables(
        rule_rows(CONFIG, runs(), runs(stage="confirm")[:2], names=["validation-shuffled"], metrics=["shuffled"])
    )
    assert (first.head, first.columns, dict(first.rows)) == (
        "rule",
        ["needs", "erm"],
        {"validation-shuffled": ["moved backgrounds", "55.00 (10.0)"]},
    )
    assert dict(second.rows) == {"validation-shuffled": ["moved backgrounds", "45.00 ± 14.14"]}
