"""Comparisons with the baseline: pairs, families, and what is said of them."""

import numpy as np
import pytest
from made import comparison
from scipy.special import expit

from bgbias.errors import SettingError
from study.record.family import check_family, member
from study.report import significance
from study.report.statistics import PairedTest, compared, corrected, quantity_tests, units
from study.report.text import difference_cell


def right(rng, share, seeds, images=400):
    return {seed: (rng.random(images) < share).astype(float) for seed in seeds}


def predictions(seeds=range(1, 7)):
    rng = np.random.default_rng(0)
    return {
        ("erm", "shuffled"): right(rng, 0.4, seeds),
        ("erm", "original"): right(rng, 0.9, seeds),
        ("mine", "shuffled"): right(rng, 0.6, seeds),
        ("mine", "original"): right(rng, 0.9, [*seeds, 99]),
    }


def test_methods_are_compared_on_the_seeds_and_the_variants_that_both_have():
    found = {row.variant: row for row in compared(predictions(), "erm", ())}
    assert set(found) == {"shuffled", "original"}
    row, data = found["shuffled"], predictions()
    means = [data["mine", "shuffled"][s].mean() - data["erm", "shuffled"][s].mean() for s in range(1, 7)]
    assert (row.space, row.baseline, row.seeds, row.images) == ("mine", "erm", 6, 400)
    assert row.difference == pytest.approx(np.mean(means))
    assert row.standardised == pytest.approx(np.mean(means) / np.std(means, ddof=1))
    assert row.effect == 1
    assert found["original"].seeds == 6
    assert row.by_seeds.p == pytest.approx(2**-5)
    assert row.by_seeds.holm == pytest.approx(2 * 2**-5)


def test_below_six_seeds_there_is_no_p_over_seeds_and_the_line_says_that_none_can_reach_5_percent():
    rows = compared(predictions(range(1, 4)), "erm", ())
    assert {row.by_seeds for row in rows} == {PairedTest(None, None)}
    said = units(rows)
    assert said[0].startswith("3 fresh seeds: no test over seeds can reach 0.05 (the smallest p of 3 is 0.25)")
    assert "6 can, and 7 after Holm over the declared family of 2 comparisons" in said[0]
    assert "over images alone" in said[1]
    assert not any(line.startswith("*") for line in said)


def test_six_seeds_of_a_large_family_are_said_to_be_too_few():
    rows = corrected([comparison(f"v{n}", "mine", "erm", 0.1, (0, 0.2), by_seeds=0.03125) for n in range(4)])
    assert [row.by_seeds.holm for row in rows] == [0.125] * 4
    assert "the smallest p after Holm over the declared family of 4 comparisons is 0.12; 8 seeds" in units(rows)[0]
    assert not any(line.startswith("*") for line in units(rows))


def test_runners_up_are_outside_the_family_and_a_fronts_members_are_in_their_spaces():
    found = predictions()
    more = {("mine-0004", "shuffled"): found["mine", "shuffled"], ("erm-0002", "shuffled"): found["erm", "original"]}
    rows = {(row.space, row.variant): row.declared for row in compared(found | more, "erm", ["*:shuffled"])}
    assert rows == {
        ("mine", "shuffled"): True, ("mine", "original"): False,
        ("mine-0004", "shuffled"): False, ("erm-0002", "shuffled"): False,
    }  # fmt: skip
    front = {(f"{space}-0001", variant): each for (space, variant), each in found.items()}
    (row,) = [row for row in compared(front, "erm", ["mine:shuffled"]) if row.declared]
    assert (row.space, row.variant, row.baseline) == ("mine-0001", "shuffled", "erm-0001")


def test_quantities_are_tested_over_the_seeds_that_both_have():
    base = dict.fromkeys(range(1, 8), 0.5)
    gains = {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.1, 5: 0.2, 6: 0.3}
    values = {
        ("test/gap", "erm"): base,
        ("test/gap", "mine"): {seed: 0.5 + gain for seed, gain in gains.items()},
        ("test/gap", "other"): {1: 0.5},
    }
    mine, other = quantity_tests(values, "erm")
    assert (mine.space, mine.baseline, mine.seeds, mine.effect) == ("mine", "erm", 6, 1)
    assert mine.difference == pytest.approx(0.2)
    assert mine.by_seeds == PairedTest(2**-5, 2 * 2**-5)
    half = 2.5706 * np.std(list(gains.values()), ddof=1) / np.sqrt(6)
    assert (mine.interval.low, mine.interval.high) == pytest.approx((0.2 - half, 0.2 + half), abs=1e-4)
    assert (other.seeds, other.interval, other.by_seeds.p) == (1, None, None)
    assert quantity_tests({key: value for key, value in values.items() if key[1] != "erm"}, "erm") == []


def test_only_declared_comparisons_are_tested_together():
    rows = {row.variant: row for row in compared(predictions(), "erm", ["*:shuffled"])}
    assert rows["shuffled"].by_seeds == PairedTest(2**-5, 2**-5)
    assert rows["original"].declared is False
    assert rows["original"].by_seeds.holm is None
    assert rows["original"].by_images.significant is False
    assert units(list(rows.values()))[-1] == "in brackets: outside the declared family, without a test"


def test_a_baseline_that_is_missing_is_the_first_and_one_method_is_compared_with_nothing():
    data = predictions()
    assert {row.baseline for row in compared(data, "elsewhere", ())} == {"erm"}
    assert compared({key: data[key] for key in data if key[0] == "erm"}, "erm", ()) == []
    apart = {
        ("erm", "v"): right(np.random.default_rng(0), 0.5, [1]),
        ("b", "v"): right(np.random.default_rng(0), 0.5, [2]),
    }
    assert compared(apart, "erm", ()) == []


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (comparison("v", "a", "b", 0.1, (0.05, 0.15), by_seeds=0.01), "+10.00* (+5.00, +15.00)"),
        (comparison("v", "a", "b", 0.1, (0.05, 0.15), by_seeds=0.2, by_images=0.001), "+10.00° (+5.00, +15.00)"),
        (comparison("v", "a", "b", 0.1, (-0.05, 0.15)), "+10.00 (-5.00, +15.00)"),
        (comparison("v", "a", "b", 0.1, (-0.05, 0.15), declared=False), "[+10.00 (-5.00, +15.00)]"),
        (None, "-"),
    ],
)
def test_marks_tell_over_what_a_difference_is_significant(row, shown):
    assert difference_cell(row) == shown


def test_members_of_a_family():
    assert member((), "erm", "original")
    assert member(["*:shuffled"], "jtt", "shuffled")
    assert not member(["*:shuffled"], "jtt", "original")
    assert member(["group_dro:*", "jtt:removed"], "jtt", "removed")
    assert not member(["group_dro:*", "jtt:removed"], "jtt", "original")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [("shuffled", r"give '\*:shuffled'"), ("jtt:original", "match a space"), ("erm:shufled", "match a variant")],
)
def test_a_family_that_fits_nothing_is_refused(pattern, why):
    check_family(["*:shuffled", "erm:*"], ["erm"], ["shuffled"])
    with pytest.raises(SettingError, match=why):
        check_family([pattern], ["erm"], ["shuffled"])


@pytest.mark.slow
def test_a_declared_family_is_wrong_in_at_most_5_of_100_studies_from_predictions_to_the_mark(monkeypatch):
    monkeypatch.setattr(significance, "RESAMPLES", 10)  # intervals are not looked at
    rng, images, seeds, wrong = np.random.default_rng(0), 120, 9, 0
    for _ in range(1000):
        right = {}
        for variant in ("original", "shuffled", "removed"):
            difficulty = rng.normal(0, 2, images)
            for space in ("erm", "a", "b", "c"):
                own, luck = difficulty + rng.normal(0, 0.5, images), rng.normal(0, 0.3, (seeds, 1))
                chosen = rng.random((seeds, images)) < expit(own + luck)
                right[space, variant] = dict(enumerate(chosen))
        rows = compared(right, "erm", ("*:original", "*:shuffled"))
        assert sum(row.declared for row in rows) == 6
        wrong += any(row.by_seeds.significant for row in rows)
    print(f"family-wise error over 1,000 studies: {wrong / 1000:.3f}")
    assert wrong / 1000 <= 0.05
