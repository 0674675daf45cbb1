import math
import sys

from made import epoch, trial

from bgbias.metrics import TEST, variants_in
from study.record.selection import (
    best_epoch,
    best_epochs,
    best_value,
    front,
    kept_epochs,
    oracle,
    spread,
    summary,
    undominated,
    values_of,
    variant_order,
    winner,
    winners,
    winning_row,
    worth_keeping,
)

ORIGINAL, SHUFFLED, LOSS = "val/original/accuracy", "val/shuffled/accuracy", "val/shuffled/loss"


def test_the_best_epoch_is_chosen_on_validation_and_never_on_test():
    history = [epoch(shuffled=(0.5, 0.99)), epoch(shuffled=(0.7, 0.6)), epoch(shuffled=(0.6, 0.95))]
    assert best_epoch(history, SHUFFLED) == 2
    assert best_value(history, SHUFFLED) == 0.7


def test_the_earlier_epoch_wins_a_tie():
    history = [epoch(shuffled=(0.7, 0.1)), epoch(shuffled=(0.7, 0.9))]
    assert best_epoch(history, SHUFFLED) == 1


def test_a_variant_never_judged_has_no_best_epoch():
    assert best_epoch([epoch(original=(1.0, 1.0))], SHUFFLED) is None
    assert best_value([epoch(original=(1.0, 1.0))], SHUFFLED) == best_value([], SHUFFLED) == 0.0


def test_each_variant_has_its_own_best_epoch():
    history = [
        epoch(original=(0.9, 0.9), shuffled=(0.2, 0.2)),
        epoch(original=(0.8, 0.8), shuffled=(0.3, 0.3)),
    ]
    assert best_epochs(history) == {"original": 1, "shuffled": 2}
    assert best_epochs([]) == {}


def test_epochs_that_were_not_judged_are_passed_over():
    history = [{"train/loss/x": 1.0}, epoch(shuffled=(0.5, 0.9)), {"train/loss/x": 0.5}]
    assert best_epochs(history) == {"shuffled": 2}
    row = winning_row([trial("a", history)], "shuffled")
    assert (row.epoch, row.test_accuracy, row.oracle_test_accuracy) == (2, 0.9, 0.9)
    assert variant_order([trial("a", history), trial("b", history[:1])]) == ["shuffled"]
    assert winners([trial("b", history[:1])]) == []


def test_the_winner_is_chosen_on_validation_with_the_oracle_apart():
    trials = [
        trial("a", [epoch(shuffled=(0.6, 0.9))]),
        trial("b", [epoch(shuffled=(0.5, 0.1)), epoch(shuffled=(0.8, 0.7))]),
    ]
    row = winning_row(trials, "shuffled")
    assert (row.trial, row.epoch, row.val_accuracy, row.test_accuracy) == ("b", 2, 0.8, 0.7)
    assert row.oracle_test_accuracy == 0.9


def validated(**accuracies):
    """Metrics of an epoch whose test variants were not evaluated."""
    return {name: value for name, value in epoch(**accuracies).items() if name.startswith("val/")}


def test_without_test_values_at_every_epoch_there_is_no_oracle():
    history = [epoch(shuffled=(0.5, 0.9)), validated(shuffled=(0.4, 0.0)), epoch(shuffled=(0.6, 0.7))]
    assert [bool(variants_in(metrics, TEST)) for metrics in history] == [True, False, True]
    row = winning_row([trial("a", history)], "shuffled")
    assert (row.epoch, row.test_accuracy, row.oracle_test_accuracy) == (3, 0.7, None)
    assert winning_row([trial("a", history[::2])], "shuffled").oracle_test_accuracy == 0.9
    assert oracle([], "shuffled") is None


def test_the_trial_that_started_earlier_wins_a_tie_in_any_order():
    early = trial("early", [epoch(shuffled=(0.6, 0.1))], number=1)
    late = trial("late", [epoch(shuffled=(0.6, 0.9))], number=2)
    assert winner([early, late], SHUFFLED) == winner([late, early], SHUFFLED) == (early, 1)


def test_winners_hold_every_space_on_every_variant_it_was_judged_on():
    trials = [
        trial("a", [epoch(original=(0.9, 0.9), shuffled=(0.1, 0.1))]),
        trial(
            "b",
            [epoch(original=(0.8, 0.8), shuffled=(0.7, 0.7), shuffled_rim=(0.9, 0.9))],
            space="gradient_penalty",
        ),
    ]
    assert variant_order(trials) == ["original", "shuffled", "shuffled_rim"]
    assert [(row.space, row.variant, row.trial) for row in winners(trials)] == [
        ("erm", "original", "a"),
        ("erm", "shuffled", "a"),
        ("gradient_penalty", "original", "b"),
        ("gradient_penalty", "shuffled", "b"),
        ("gradient_penalty", "shuffled_rim", "b"),
    ]


def test_trials_without_an_epoch_win_nothing():
    assert winners([trial("a", [])]) == []


def test_a_summary_holds_each_variants_accuracies_at_its_selected_epoch():
    history = [
        {**epoch(original=(0.9, 0.8), mixed_rand=(0.3, 0.2)), "val/bg_gap": 0.5, "test/bg_gap": 0.6},
        {**epoch(original=(0.7, 0.9), mixed_rand=(0.6, 0.4)), "val/bg_gap": 0.1, "test/bg_gap": 0.2},
    ]
    assert summary(history, {"bg_gap": ("mixed_same", "mixed_rand")}) == {
        "best/val.original.accuracy": 0.9,
        "best/test.original.accuracy": 0.8,
        "best/val.original.epoch": 1,
        "best/val.mixed_rand.accuracy": 0.6,
        "best/test.mixed_rand.accuracy": 0.4,
        "best/val.mixed_rand.epoch": 2,
        "best/val.bg_gap": 0.1,
        "best/test.bg_gap": 0.2,
    }
    assert summary([], {}) == {}


def losses(*values):
    return [{**epoch(shuffled=(0.5, 0.5)), LOSS: value} for value in values]


def test_a_loss_is_best_when_lowest_and_worst_where_it_is_not_finite():
    history = losses(0.9, math.nan, 0.3, 0.3, math.inf)
    assert (best_epoch(history, LOSS), best_value(history, LOSS)) == (3, 0.3)
    assert best_epoch(losses(math.nan, 2.0), LOSS) == 2
    low, high = trial("low", losses(0.2)), trial("high", losses(0.4))
    assert winner([high, low], LOSS) == (low, 1)


def test_several_objectives_are_those_of_the_epoch_that_is_best_for_the_first():
    history = [epoch(original=(0.99, 0.9), shuffled=(0.3, 0.2)), epoch(original=(0.9, 0.8), shuffled=(0.7, 0.6))]
    assert values_of(history, [SHUFFLED, ORIGINAL]) == [0.7, 0.9]
    assert values_of(history, [ORIGINAL, SHUFFLED]) == [0.99, 0.3]
    assert values_of([], [SHUFFLED, LOSS]) == [0.0, sys.float_info.max]


def test_an_objectives_own_best_epoch_is_kept_beside_every_variants_and_the_last():
    history = losses(0.9, 0.3, 0.8, 0.7)
    assert kept_epochs(history, []) == {1, 4}
    assert kept_epochs(history, [LOSS]) == {1, 2, 4}


def both(name, original, shuffled, **options):
    return trial(name, [epoch(original=(original, original / 2), shuffled=(shuffled, shuffled / 2))], **options)


def test_no_point_of_the_front_is_beaten_and_the_first_of_equals_stays():
    assert undominated([(1, 3), (2, 2), (1, 2), (3, 1), (2, 2), (3, 0)]) == [0, 1, 3]
    assert undominated([(2,), (3,), (3,)]) == [1]
    assert undominated([]) == []


def test_the_front_is_of_each_space_and_shows_who_is_on_that_of_all():
    trials = [
        both("a", 0.9, 0.1, number=1),
        both("b", 0.5, 0.5, number=2),
        both("beaten", 0.5, 0.4, number=3),
        both("equal", 0.5, 0.5, number=4),
        both("c", 0.6, 0.6, number=5, space="mine"),
        trial("unmeasured", [epoch(shuffled=(0.99, 0.99))], number=6),
    ]
    found = front(trials, [SHUFFLED, ORIGINAL])
    assert [(member.name, member.trial, member.leads) for member in found] == [
        ("erm-0002", "b", False),
        ("erm-0001", "a", True),
        ("mine-0005", "c", True),
    ]
    assert found[1].values == {SHUFFLED: 0.1, ORIGINAL: 0.9}
    assert found[1].test_values == {"test/shuffled/accuracy": 0.05, "test/original/accuracy": 0.45}


def test_the_front_of_one_objective_is_each_spaces_winner():
    trials = [both("a", 0, 0.5, number=2), both("b", 0, 0.5, number=1), both("c", 0, 0.4, space="mine", number=3)]
    assert [member.trial for member in front(trials, [SHUFFLED])] == ["b", "c"]
    assert front([], [SHUFFLED]) == []


def test_a_front_is_thinned_to_members_far_apart_and_the_first():
    points = [(0.1, 0.9), (0.12, 0.89), (0.5, 0.5), (0.52, 0.48), (0.9, 0.1)]
    members = front([both(str(n), *point, number=n) for n, point in enumerate(points)], [SHUFFLED, ORIGINAL])
    assert [member.trial for member in spread(members, 3)] == ["0", "4", "2"]
    assert spread(members, 9) == [members[at] for at in (0, 4, 2, 3, 1)]
    assert spread(members[:1], 3) == members[:1]
    assert spread([], 3) == []


def test_a_search_keeps_the_winners_the_front_and_each_objectives_best():
    a = trial("a", [epoch(original=(0.9, 0), shuffled=(0.2, 0)), epoch(original=(0.7, 0), shuffled=(0.5, 0))], number=1)
    b = trial("b", [epoch(original=(0.8, 0), shuffled=(0.4, 0))], number=2)
    c = trial("c", [epoch(original=(0.6, 0), shuffled=(0.3, 0))], number=3)
    assert worth_keeping([a, b, c], [SHUFFLED]) == {("erm", "a", 1), ("erm", "a", 2)}
    assert worth_keeping([a, b, c], [SHUFFLED, ORIGINAL]) == {("erm", "a", 1), ("erm", "a", 2), ("erm", "b", 1)}


def test_a_summary_holds_each_objective_at_its_best_and_all_at_the_firsts():
    history = [{**metrics, "test/shuffled/loss": 9.0} for metrics in losses(0.9, 0.3)]
    history[0]["val/shuffled/accuracy"] = 0.8
    found = summary(history, {}, [SHUFFLED, LOSS])
    assert found["best/val.shuffled.loss"] == 0.3
    assert found["front/val.shuffled.loss"] == 0.9
    assert found["front/test.shuffled.loss"] == 9.0
    assert not any(name.startswith("front/") for name in summary(history, {}, [LOSS]))
