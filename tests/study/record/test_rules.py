"""Selection rules, worked out by hand."""

import time

import numpy as np
import pytest
from made import trial

from bgbias.errors import SettingError, UnknownNameError
from study.record.rules import (
    GROUPS,
    LABELS,
    MOVED,
    TEST_DATA,
    choose,
    choose_epoch,
    rule_named,
    rules_of,
    shared_variants,
)

VARIANTS, OBJECTIVES = ("original", "shuffled"), ("val/shuffled/accuracy",)


def measured(split="val", **variants):
    """Metrics of variants: `shuffled=(accuracy, balanced, worst class, worst group)`."""
    names = ("accuracy", "balanced_accuracy", "worst_class_accuracy", "worst_group_accuracy")
    return {
        f"{split}/{variant}/{name}": value
        for variant, values in variants.items()
        for name, value in zip(names, values, strict=True)
    }


def runs():
    """Each of five epochs in two trials is best in the eyes of other rules."""
    epochs = [
        measured(original=(0.99, 0.90, 0.50, 0.40), shuffled=(0.30, 0.30, 0.20, 0.10)),
        measured(original=(0.97, 0.96, 0.60, 0.30), shuffled=(0.50, 0.50, 0.20, 0.05)),
        measured(original=(0.95, 0.94, 0.90, 0.30), shuffled=(0.40, 0.40, 0.30, 0.15)),
        measured(original=(0.70, 0.70, 0.60, 0.45), shuffled=(0.72, 0.70, 0.40, 0.30)),
        measured(original=(0.60, 0.60, 0.55, 0.50), shuffled=(0.74, 0.70, 0.30, 0.25)),
    ]
    tests = (0.31, 0.99, 0.41, 0.61, 0.71)
    histories = [metrics | {"test/shuffled/accuracy": test} for metrics, test in zip(epochs, tests, strict=True)]
    return [trial("a", histories[:3], number=1), trial("b", histories[3:], number=2)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("validation-average", ("a", 1)),
        ("validation-original", ("a", 1)),
        ("validation-balanced", ("a", 2)),
        ("validation-worst-class", ("a", 3)),
        ("validation-shuffled", ("b", 2)),
        ("validation-mean-of-variants", ("a", 2)),  # 0.735 against 0.71 and 0.67
        ("validation-worst-group", ("b", 1)),
        ("last-epoch", ("b", 2)),
        ("oracle-shuffled", ("a", 2)),
        ("oracle-test/shuffled/accuracy", ("a", 2)),
    ],
)
def test_each_rule_chooses_by_what_its_name_says(name, expected):
    found = choose(runs(), rule_named(name, VARIANTS, OBJECTIVES))
    assert (found.trial.trial_id, found.epoch) == expected


def test_no_rule_but_the_oracle_changes_with_the_test_data():
    def chosen(change):
        history = [
            [{**m, "test/shuffled/accuracy": change(m["test/shuffled/accuracy"])} for m in t.history] for t in runs()
        ]
        trials = [trial(t.trial_id, h, number=t.number) for t, h in zip(runs(), history, strict=True)]
        rules = rules_of(VARIANTS, OBJECTIVES, ["test/shuffled/accuracy"])
        return {rule.name: (choose(trials, rule).trial.trial_id, choose(trials, rule).epoch) for rule in rules}

    before, after = chosen(lambda value: value), chosen(lambda value: 1 - value)
    assert [name for name in before if before[name] != after[name]] == ["oracle-shuffled"]


@pytest.mark.parametrize("name", ["test-shuffled", "test/shuffled/accuracy", "test"])
def test_a_rule_that_reads_test_data_without_saying_so_is_refused(name):
    with pytest.raises(SettingError, match=r"must read validation data, but .* reads test data"):
        rule_named(name, VARIANTS, OBJECTIVES)


def test_an_oracle_reads_test_metrics_alone():
    with pytest.raises(SettingError, match="a test metric is needed"):
        rule_named("oracle-val/shuffled/accuracy", VARIANTS, OBJECTIVES)


def test_an_unknown_rule_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'validation-worst-class'"):
        rule_named("validation-worst-clas", VARIANTS, OBJECTIVES)


def test_rules_say_what_they_need_and_only_oracles_are_oracles():
    rules = rules_of(VARIANTS, OBJECTIVES, ["test/shuffled/accuracy"])
    assert {rule.name: rule.needs for rule in rules} == {
        "last-epoch": MOVED,
        "validation-average": LABELS,
        "validation-balanced": LABELS,
        "validation-worst-class": LABELS,
        "validation-shuffled": MOVED,
        "validation-mean-of-variants": MOVED,
        "validation-worst-group": GROUPS,
        "oracle-shuffled": TEST_DATA,
    }
    assert [rule.name for rule in rules if rule.oracle] == ["oracle-shuffled"]
    assert all(name.startswith("val/") for rule in rules if not rule.oracle for name in (*rule.metrics, *rule.ties))


def test_a_tie_at_the_worst_group_goes_to_the_higher_mean_and_then_to_the_earlier():
    worst = rule_named("validation-worst-group", VARIANTS, OBJECTIVES)
    low = measured(original=(0.5, 0.5, 0, 0), shuffled=(0.3, 0.3, 0, 0))
    high = measured(original=(0.9, 0.5, 0, 0), shuffled=(0.3, 0.3, 0, 0))
    assert choose_epoch(trial("a", [low, high, high]), worst).epoch == 2
    first, second = trial("a", [high], number=1), trial("b", [high], number=2)
    assert choose([second, first], worst).trial is first


def test_the_last_epoch_is_the_last_that_was_evaluated():
    history = [measured(shuffled=(0.9, 0.9, 0.9, 0.9)), measured(shuffled=(0.2, 0.2, 0.2, 0.2)), {"train/loss/x": 0.0}]
    assert choose_epoch(trial("a", history), rule_named("last-epoch", VARIANTS, OBJECTIVES)).epoch == 2


def test_an_epoch_that_lacks_what_a_rule_reads_is_passed_over():
    history = [{"val/original/accuracy": 0.9}, measured(original=(0.1, 0.1, 0.1, 0.1), shuffled=(0.1, 0.1, 0.1, 0.1))]
    one = trial("a", history)
    assert choose_epoch(one, rule_named("validation-worst-group", VARIANTS, OBJECTIVES)).epoch == 2
    assert choose([trial("b", history[:1])], rule_named("validation-worst-group", VARIANTS, OBJECTIVES)) is None


def test_an_oracle_of_a_loss_takes_the_lowest():
    history = [{"test/shuffled/loss": 2.0}, {"test/shuffled/loss": 1.0}, {"test/shuffled/loss": 3.0}]
    assert choose_epoch(trial("a", history), rule_named("oracle-shuffled/loss", VARIANTS, OBJECTIVES)).epoch == 2


def test_variants_are_those_of_all_trials_that_show_an_object():
    some = trial("a", [measured(original=(1,) * 4, only_bg_t=(1,) * 4, shuffled=(1,) * 4)])
    more = trial("b", [measured(original=(1,) * 4, shuffled=(1,) * 4, shuffled_rim=(1,) * 4, only_bg_t=(1,) * 4)])
    assert shared_variants([some, more, trial("c", [])], ["only_bg_t"]) == ["original", "shuffled"]
    assert shared_variants([]) == []


def test_a_thousand_trials_take_seconds():
    rng = np.random.default_rng(0)
    names = [*measured(original=(0,) * 4, shuffled=(0,) * 4), "test/shuffled/accuracy"]
    values = rng.random((1000, 20, len(names)))
    trials = [
        trial(str(n), [dict(zip(names, map(float, epoch), strict=True)) for epoch in histories], number=n)
        for n, histories in enumerate(values)
    ]
    rules = rules_of(VARIANTS, OBJECTIVES, ["test/shuffled/accuracy"])
    for one in trials:
        assert len(one.history) == 20  # made once, before the time is taken
    started = time.process_time()
    chosen = {rule.name: choose(trials, rule) for rule in rules}
    assert time.process_time() - started < 5
    pair = values[..., 0] + values[..., 4]
    at = np.unravel_index(pair.argmax(), pair.shape)
    found = chosen["validation-mean-of-variants"]
    assert (found.trial.number, found.epoch) == (at[0], at[1] + 1)
