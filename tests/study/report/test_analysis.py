"""Values in the interactive figures, computed by hand."""

import pytest
from made import epoch, trial
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from study.record.config import StudyConfig
from study.record.objectives import objectives_of
from study.record.selection import front, winners
from study.report import analysis
from study.report.analysis import Trade
from study.report.tables import Report, quantity_rows, seed_rows

PAIR = ("val/shuffled/accuracy", "val/original/accuracy")


def report(trials, confirmed=(), **config):
    variants, config = ["original", "shuffled"], StudyConfig(**config)
    objectives = objectives_of(config)
    return Report(
        name="mine",
        config=config,
        variants=variants,
        rows=winners(trials),
        seed_rows=seed_rows(confirmed, variants),
        quantity_rows=quantity_rows(confirmed, {}, objectives),
        comparisons=[],
        trials=list(trials),
        objectives=objectives,
        front=front(trials, objectives),
        confirmed=list(confirmed),
    )


def point(name, original, shifted):
    return Trade(trial(name, []), 1, (shifted, original), (0.0, 0.0))


def test_the_front_holds_what_nothing_beats_on_both():
    points = [
        point("a", 0.99, 0.20),
        point("b", 0.95, 0.90),
        point("beaten by b", 0.94, 0.90),
        point("c", 0.80, 0.97),
        point("beaten by c", 0.70, 0.96),
        point("beaten by a", 0.99, 0.10),
        point("as b", 0.95, 0.90),
    ]
    assert [found.trial.trial_id for found in analysis.front(points, PAIR)] == ["a", "b", "c"]
    assert analysis.front([], PAIR) == []


def test_a_trade_is_read_at_the_epoch_that_is_best_on_the_shifted_variant():
    run = trial(
        "a", [epoch(original=(0.99, 0.98), shuffled=(0.3, 0.2)), epoch(original=(0.9, 0.8), shuffled=(0.7, 0.6))]
    )
    (found,) = analysis.trades([run, trial("never evaluated", [])], PAIR)
    assert (found.epoch, found.values, found.tests) == (2, (0.7, 0.9), (0.6, 0.8))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "shuffled"),
        ({"dataset": "imagenet9"}, "mixed_rand"),
        ({"objectives": ("removed",)}, "removed"),
        ({"objectives": ("original",)}, "shuffled"),
        ({"objectives": ("val/original/loss", "val/removed/worst_class_accuracy")}, "removed"),
    ],
)
def test_original_is_compared_with_the_first_other_variant_of_the_objectives_or_the_datasets_own(config, expected):
    assert report([], **config).shifted == expected


def test_methods_are_ranked_by_fresh_seeds_of_the_same_configuration_and_otherwise_by_their_winner():
    found = report(
        [
            trial("e", [epoch(shuffled=(0.5, 0.60))], space="erm", **{"method/x": 1}),
            trial("d", [epoch(shuffled=(0.9, 0.95))], space="dynamic", **{"method/x": 1}),
            trial("g", [epoch(shuffled=(0.8, 0.90))], space="penalty", **{"method/x": 1}),
        ],
        [
            trial("d1", [epoch(shuffled=(0.9, 0.70))], space="dynamic", stage="confirm", **{"method/x": 1, "seed": 1}),
            trial("d2", [epoch(shuffled=(0.9, 0.80))], space="dynamic", stage="confirm", **{"method/x": 1, "seed": 2}),
            trial("g1", [epoch(shuffled=(0.8, 0.10))], space="penalty", stage="confirm", **{"method/x": 9, "seed": 1}),
        ],
    )
    ranked = analysis.ranking(found, "shuffled")
    assert [(r.row.space, r.value) for r in ranked] == [
        ("penalty", 0.90),
        ("dynamic", pytest.approx(0.75)),
        ("erm", 0.6),
    ]
    assert [r.seeds is None for r in ranked] == [True, False, True]


def searched(count=12):
    """Trials whose accuracy is their `p` and nothing else."""
    return [
        trial(
            str(i), [epoch(shuffled=(i / count, 0))], **{"method/p": i / count, "method/form": "ab"[i % 2], "seed": 0}
        )
        for i in range(count)
    ]


def test_recorded_trials_become_an_optuna_study():
    study = analysis.rebuilt(searched(4), PAIR[0])
    assert [t.value for t in study.trials] == [0.0, 0.25, 0.5, 0.75]
    assert study.trials[3].params == {"method/p": 0.75, "method/form": "b"}
    assert study.best_trial.number == 3


def test_what_decides_the_accuracy_is_found_important():
    found = analysis.importance(searched(), PAIR[0])
    assert list(found) == ["method/p", "method/form"]
    assert found["method/p"] > 0.9
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "trials",
    [
        searched(3),
        [trial(str(i), [epoch(shuffled=(0.5, 0))], **{"method/p": i}) for i in range(6)],
        [trial(str(i), [epoch(shuffled=(i / 9, 0))]) for i in range(6)],
        [],
    ],
    ids=["too few", "all alike", "nothing searched", "none"],
)
def test_no_importance_is_made_up(trials):
    assert analysis.importance(trials, PAIR[0]) == {}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.001, 1.0], FloatDistribution(0.001, 1.0, log=True)),
        ([0.5, 1], FloatDistribution(0.5, 1.0)),
        ([0, 4, 2], IntDistribution(0, 4)),
        (["b", "a", "b"], CategoricalDistribution(["a", "b"])),
        ([True, False], CategoricalDistribution([False, True])),
    ],
)
def test_a_domain_is_the_smallest_that_holds_all_values(values, expected):
    assert analysis.domain(values) == expected


def test_votes_are_the_accuracies_at_every_number_of_samples_of_the_winning_epoch():
    counts = {
        "test/shuffled/accuracy_at/16": 0.7,
        "test/shuffled/accuracy_at/0": 0.5,
        "test/shuffled/accuracy_at/2": 0.6,
    }
    found = report([trial("f", [epoch(shuffled=(0.1, 0.1)), {**epoch(shuffled=(0.9, 0.8)), **counts}], space="flow")])
    assert list(analysis.votes(found, found.rows[0]).items()) == [(0, 0.5), (2, 0.6), (16, 0.7)]
