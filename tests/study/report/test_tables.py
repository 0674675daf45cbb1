import numpy as np
import pytest
from made import epoch, trial

from study.report.tables import by_choice, quantity_rows, searched_values, seed_rows, spans_decades

SHUFFLED, LOSS = "val/shuffled/accuracy", "val/shuffled/loss"


def test_the_mean_over_seeds_takes_each_seeds_validation_selected_epoch():
    runs = [
        trial("a", [epoch(shuffled=(0.9, 0.80)), epoch(shuffled=(0.1, 0.99))], stage="confirm"),
        trial("b", [epoch(shuffled=(0.9, 0.84))], stage="confirm"),
    ]
    (row,) = seed_rows(runs, ["shuffled"])
    assert row.test_accuracies == [0.80, 0.84]
    assert row.mean == pytest.approx(0.82)
    assert row.std == pytest.approx(0.02 * np.sqrt(2))
    half = 12.7062 * 0.02
    assert (row.low, row.high) == pytest.approx((0.82 - half, 0.82 + half), abs=1e-5)


def test_a_single_seed_has_no_spread():
    (row,) = seed_rows([trial("a", [epoch(shuffled=(0.9, 0.8))])], ["shuffled"])
    assert (row.mean, row.std, row.low, row.high) == (0.8, None, None, None)


def test_searched_values_are_those_that_differ():
    trials = [
        trial("a", [], **{"method/weight": 0.1, "method/form": "plain", "training/epochs": 3}),
        trial("b", [], **{"method/weight": 0.2, "method/form": "aggregated", "training/epochs": 3, "new": 1}),
    ]
    assert searched_values(trials) == ["method/form", "method/weight"]


def test_trials_are_listed_by_the_values_of_settings_that_have_few():
    def made(name, form, radius, rate):
        return trial(name, [], **{"method/form": form, "method/radius": radius, "training/learning_rate": rate})

    trials = [made("a", "plain", 10, 0.1), made("b", "rrr", 9, 0.2), made("c", "plain", 9, 0.3)]
    found = {key: [each.trial_id for each in having] for key, having in by_choice(trials).items()}
    assert list(found.items()) == [
        (("method/form", "plain"), ["a", "c"]), (("method/form", "rrr"), ["b"]),
        (("method/radius", "9"), ["b", "c"]), (("method/radius", "10"), ["a"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 11.0], True), ([1.0, 9.0], False), ([0, 100], False), (["plain", "aggregated"], False)],
)
def test_a_logarithmic_axis_is_for_positive_numbers_over_a_decade_apart(values, expected):
    assert spans_decades(values) is expected


def test_a_gap_is_that_of_each_seeds_best_epoch_on_the_variant_that_is_subtracted():
    def evaluated(validation, gap):
        return {**epoch(mixed_rand=(validation, 0.5)), "test/bg_gap": gap}

    runs = [
        trial("b", [evaluated(0.9, 0.10)], space="mine", seed=2),
        trial("a", [evaluated(0.3, 0.50), evaluated(0.8, 0.20)], space="mine", seed=1),
        trial("c", [epoch(shuffled=(0.9, 0.9))], space="other"),
    ]
    (row,) = quantity_rows(runs, {"bg_gap": ("mixed_same", "mixed_rand"), "missing": ("only_fg", "no_fg")}, [SHUFFLED])
    assert (row.metric, row.space, row.values) == ("test/bg_gap", "mine", [0.20, 0.10])
    assert row.mean == pytest.approx(0.15)
    assert row.std == pytest.approx(0.05 * np.sqrt(2))


def test_an_objective_that_is_no_plain_accuracy_is_read_at_the_first_objectives_epoch():
    def seed(name, *losses):
        history = [
            {**epoch(shuffled=(at / 10, at / 20)), LOSS: loss, "test/shuffled/loss": 2 * loss}
            for at, loss in enumerate(losses, start=1)
        ]
        return trial(name, history, seed=int(name))

    runs = [seed("1", 0.2, 0.4), seed("2", 0.3, 0.6)]
    (alone,) = quantity_rows(runs, {}, [LOSS])
    assert (alone.metric, alone.values) == ("test/shuffled/loss", [0.4, 0.6])
    accuracy, loss = quantity_rows(runs, {}, [SHUFFLED, LOSS])
    assert (accuracy.metric, accuracy.values) == ("test/shuffled/accuracy", [0.1, 0.1])
    assert (loss.values, loss.mean) == ([0.8, 1.2], pytest.approx(1.0))
    assert quantity_rows(runs, {}, [SHUFFLED]) == []
