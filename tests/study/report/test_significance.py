"""Tests and intervals against scipy, against hand values, and against data whose truth is known."""

from itertools import product

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from bgbias.evaluation.statistics import holm
from study.report.significance import (
    LEAST,
    Interval,
    over_both,
    over_images,
    p_text,
    permutation_p,
    rank_biserial,
    seeds_needed,
    smallest_p,
    student,
    wilcoxon,
)


@pytest.mark.parametrize("n", [6, 9, 14])
@pytest.mark.parametrize("seed", range(4))
def test_wilcoxon_is_scipys_exact_test(n, seed):
    found = np.random.default_rng(seed).normal(0.5, 1, n)
    assert wilcoxon(found) == pytest.approx(stats.wilcoxon(found, method="exact").pvalue, rel=1e-9)


def test_wilcoxon_with_ties_and_zeros_is_what_all_patterns_of_signs_give():
    found = np.array([0.2, 0.1, 0.1, 0.0, -0.1, 0.3, 0.3, 0.0])
    kept = found[found != 0]
    ranks = stats.rankdata(np.abs(kept))
    sums = np.array([np.dot(ranks, signs) for signs in product((0, 1), repeat=len(kept))])
    at = ranks[kept > 0].sum()
    assert wilcoxon(found) == pytest.approx(2 * min((sums <= at).mean(), (sums >= at).mean()))


def test_the_smallest_p_is_two_to_the_one_minus_n():
    for n in (1, 5, 6, 10):
        assert wilcoxon([0.01 * (at + 1) for at in range(n)]) == pytest.approx(smallest_p(n)) == 2.0 ** (1 - n)
    assert smallest_p(5) > 0.05 > smallest_p(6)
    assert wilcoxon([0.0, 0.0]) == 1


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, 6), (2, 7), (10, 9), (0, 6)])
def test_the_seeds_that_a_family_needs(comparisons, seeds):
    assert seeds_needed(comparisons) == seeds
    assert smallest_p(seeds) * max(1, comparisons) < 0.05 <= smallest_p(seeds - 1) * max(1, comparisons)


def test_the_effect_over_seeds_by_hand():
    assert rank_biserial([0.1, 0.2, 0.3]) == 1
    assert rank_biserial([-0.1, 0.2, 0.3]) == pytest.approx((5 - 1) / 6)
    assert rank_biserial([0.0]) == 0


def test_students_interval_is_scipys():
    found = [0.1, 0.3, 0.2, 0.4]
    expected = stats.ttest_1samp(found, 0).confidence_interval(0.95)
    assert student(found) == Interval(pytest.approx(expected.low), pytest.approx(expected.high))
    assert student([0.1]) is None


def test_permutations_of_right_and_wrong_are_mcnemars_exact_test():
    sums = np.array([1] * 15 + [-1] * 5 + [0] * 80)
    assert permutation_p(sums) == pytest.approx(stats.binomtest(15, 20).pvalue, rel=1e-9)
    assert permutation_p(-sums) == pytest.approx(permutation_p(sums))
    assert permutation_p(np.zeros(4, dtype=int)) == 1


def test_a_p_below_what_rounding_allows_is_told_as_a_bound():
    assert permutation_p(np.array([3] * 200 + [2] * 50 + [1] * 10)) == LEAST
    assert [p_text(p) for p in (LEAST, 2e-12, 0.03125, 1.0)] == ["< 1e-12", "2e-12", "0.031", "1"]


def test_permutations_of_several_seeds_are_scipys_over_all_patterns():
    sums = np.array([3, -1, 2, 2, -3, 1, 1, 0, 3, 2])
    found = stats.permutation_test(
        (sums, np.zeros(10)), lambda a, b, axis: np.mean(a - b, axis), permutation_type="samples", vectorized=True,
        n_resamples=np.inf,
    )  # fmt: skip
    assert permutation_p(sums) == pytest.approx(found.pvalue, rel=1e-9)


def test_the_interval_over_images_is_that_of_the_mean_over_seeds():
    rng = np.random.default_rng(1)
    differences = (rng.random((3, 2000)) < 0.5).astype(float) - (rng.random((3, 2000)) < 0.4)
    interval, p = over_images(differences)
    half = 1.96 * differences.mean(axis=0).std(ddof=1) / np.sqrt(2000)
    mean = differences.mean()
    assert (interval.low, interval.high) == pytest.approx((mean - half, mean + half), abs=half / 20)
    assert p < 1e-6


def test_the_variance_over_both_is_the_two_level_bootstraps_without_its_bias():
    differences = np.array([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, -1.0, 1.0], [1.0, 1.0, 0.0, 1.0]])
    seeds, images = differences.shape
    rng, drawn = np.random.default_rng(0), []
    for _ in range(6_000):
        rows, columns = rng.integers(seeds, size=seeds), rng.integers(images, size=images)
        drawn.append(differences[np.ix_(rows, columns)].mean())
    mean, by_seed, by_image = differences.mean(), differences.mean(axis=1), differences.mean(axis=0)
    rest = differences - by_seed[:, None] - by_image + mean
    parts = [np.square(by_seed - mean).sum() / seeds**2, np.square(by_image - mean).sum() / images**2]
    parts.append(np.square(rest).sum() / (seeds * images) ** 2)
    assert np.var(drawn) == pytest.approx(sum(parts), rel=0.08)
    # the same three sums, each with its degrees of freedom instead of its count
    squares = parts[0] * seeds / (seeds - 1), parts[1] * images / (images - 1)
    variance = sum(squares) - parts[2] * seeds * images / ((seeds - 1) * (images - 1))
    interval = over_both(differences)
    mean_squares = [square * seeds * images for square in squares]
    left = parts[2] * (seeds * images) ** 2 / ((seeds - 1) * (images - 1))
    freedom = (sum(mean_squares) - left) ** 2 / (
        mean_squares[0] ** 2 / 2 + mean_squares[1] ** 2 / 3 + left**2 / ((seeds - 1) * (images - 1))
    )
    half = stats.t.ppf(0.975, max(freedom, 2)) * np.sqrt(variance)
    assert (interval.low, interval.high) == pytest.approx((mean - half, min(1, mean + half)))


def test_seeds_that_agree_leave_the_interval_of_the_images():
    rng = np.random.default_rng(0)
    one = rng.choice([-1.0, 0.0, 1.0], 500)
    assert over_both(np.stack([one] * 4)).low == pytest.approx(student(one.tolist()).low, rel=1e-6)
    assert over_both(one[None]) == student(one.tolist())
    assert over_both(np.full((3, 10), 0.5)) == Interval(0.5, 0.5)


def predicted(rng, seeds, images, of_seed, of_image, shift=0.0):
    """Right minus right of two methods whose logits hang on the image, its method, and the seed."""
    difficulty, right = rng.normal(0, 2, images), []
    for gain in (shift, 0.0):
        own, luck = difficulty + rng.normal(0, of_image, images), rng.normal(0, of_seed, seeds)
        right.append((rng.random((seeds, images)) < expit(gain + own + luck[:, None])).astype(float))
    return right[0] - right[1]


def truth(of_seed, of_image, shift):
    return predicted(np.random.default_rng(99), 2000, 2000, of_seed, of_image, shift).mean() if shift else 0.0


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_default_interval_covers_the_truth_in_93_to_97_of_100_studies(seeds, shift):
    rng, covered = np.random.default_rng(seeds), []
    for of_seed in (0.1, 0.2, 0.3):
        expected = truth(of_seed, 1.0, shift)
        for _ in range(700):
            interval = over_both(predicted(rng, seeds, 300, of_seed, 1.0, shift))
            covered.append(interval.low <= expected <= interval.high)
    print(f"{seeds} seeds, effect {shift}: the interval covers the truth in {100 * np.mean(covered):.1f} %")
    assert 0.93 <= np.mean(covered) <= 0.97


def test_a_family_without_effects_is_wrong_in_at_most_5_of_100_studies():
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(1000):
        baseline = rng.normal(0, 0.01, 10)
        p = [wilcoxon(rng.normal(0, 0.01, 10) - baseline) for _ in range(8)]
        wrong += min(holm(p)) < 0.05
    assert wrong / 1000 <= 0.05


def test_a_strong_effect_is_found_after_the_correction():
    rng = np.random.default_rng(0)
    p = [wilcoxon(rng.normal(0.05, 0.01, 10)), *(wilcoxon(rng.normal(0, 0.01, 10)) for _ in range(7))]
    assert holm(p)[0] == pytest.approx(8 * 2**-9)
