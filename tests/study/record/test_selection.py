from made import epoch, trial

from study.record.selection import best_epoch, best_epochs, highest_accuracy, summary, variant_order, winner, winners


def test_the_best_epoch_is_chosen_on_validation_and_never_on_test():
    history = [epoch(shuffled=(0.5, 0.99)), epoch(shuffled=(0.7, 0.6)), epoch(shuffled=(0.6, 0.95))]
    assert best_epoch(history, "shuffled") == 2
    assert highest_accuracy(history, "shuffled") == 0.7


def test_the_earlier_epoch_wins_a_tie():
    history = [epoch(shuffled=(0.7, 0.1)), epoch(shuffled=(0.7, 0.9))]
    assert best_epoch(history, "shuffled") == 1


def test_a_variant_never_judged_has_no_best_epoch():
    assert best_epoch([epoch(original=(1.0, 1.0))], "shuffled") is None
    assert highest_accuracy([epoch(original=(1.0, 1.0))], "shuffled") == highest_accuracy([], "shuffled") == 0.0


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
    row = winner([trial("a", history)], "shuffled")
    assert (row.epoch, row.test_accuracy, row.oracle_test_accuracy) == (2, 0.9, 0.9)
    assert variant_order([trial("a", history), trial("b", history[:1])]) == ["shuffled"]
    assert winners([trial("b", history[:1])]) == []


def test_the_winner_is_chosen_on_validation_with_the_oracle_apart():
    trials = [
        trial("a", [epoch(shuffled=(0.6, 0.9))]),
        trial("b", [epoch(shuffled=(0.5, 0.1)), epoch(shuffled=(0.8, 0.7))]),
    ]
    row = winner(trials, "shuffled")
    assert (row.trial, row.epoch, row.val_accuracy, row.test_accuracy) == ("b", 2, 0.8, 0.7)
    assert row.oracle_test_accuracy == 0.9


def test_the_trial_that_started_earlier_wins_a_tie_in_any_order():
    early = trial("early", [epoch(shuffled=(0.6, 0.1))], number=1)
    late = trial("late", [epoch(shuffled=(0.6, 0.9))], number=2)
    assert winner([early, late], "shuffled").trial == winner([late, early], "shuffled").trial == "early"


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
