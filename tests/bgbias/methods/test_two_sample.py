import numpy as np
import pytest

from bgbias.methods.flow.two_sample import classifier_test, density_and_coverage, discrepancy, kernel_test


def normal(n, width, seed, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (n, width))


def test_a_classifier_cannot_tell_equal_distributions_and_tells_shifted_ones():
    alike = classifier_test(normal(200, 3, 0), normal(200, 3, 1), seed=0)
    assert 0.4 < alike.accuracy < 0.6
    assert alike.p_value > 0.01
    apart = classifier_test(normal(200, 3, 0), normal(250, 3, 1, shift=3.0), seed=0)
    assert apart.accuracy > 0.95
    assert apart.p_value < 1e-6


def test_a_classifier_sees_what_only_pairs_of_columns_show():
    rows = normal(300, 1, 0)
    linked = np.concatenate([rows, np.sign(rows) * np.abs(normal(300, 1, 1))], axis=1)
    assert classifier_test(linked, normal(300, 2, 2), seed=0).p_value < 1e-3


def test_the_discrepancy_of_four_points_by_hand():
    kernel = np.array([[1.0, 0.5, 0.2, 0.1], [0.5, 1.0, 0.3, 0.2], [0.2, 0.3, 1.0, 0.6], [0.1, 0.2, 0.6, 1.0]])
    within = (1 + 0.5 + 0.5 + 1) / 4 + (1 + 0.6 + 0.6 + 1) / 4
    between = (0.2 + 0.1 + 0.3 + 0.2) / 4
    assert discrepancy(kernel, np.arange(4), 2) == pytest.approx(within - 2 * between)
    assert discrepancy(kernel, np.array([2, 3, 0, 1]), 2) == pytest.approx(within - 2 * between)


def test_the_kernel_test_finds_a_shift_and_no_more():
    alike = kernel_test(normal(100, 2, 0), normal(100, 2, 1), seed=0)
    apart = kernel_test(normal(100, 2, 0), normal(100, 2, 1, shift=1.0), seed=0)
    assert alike.p_value > 0.05
    assert apart.p_value == pytest.approx(1 / 201)
    assert apart.mmd > 5 * alike.mmd


def test_p_values_are_as_small_as_they_say():
    rejected = [kernel_test(normal(30, 1, s), normal(30, 1, 500 + s), seed=s).p_value < 0.2 for s in range(60)]
    assert 0.05 < np.mean(rejected) < 0.4


def test_density_and_coverage_on_a_line():
    """Twelve points a unit apart: each reaches its fifth neighbour, 3 units away in the middle and 5 at the ends."""
    true = np.arange(12.0)[:, None]
    density, coverage = density_and_coverage(true, np.array([[0.0], [100.0]]))
    reached = sum(abs(x) <= radius for x, radius in zip(range(12), [5, 4, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5], strict=True))
    assert coverage == pytest.approx(reached / 12)
    assert density == pytest.approx(reached / (5 * 2))


def test_samples_that_huddle_cover_little():
    true = normal(300, 2, 0)
    density, coverage = density_and_coverage(true, normal(300, 2, 1))
    assert density == pytest.approx(1, abs=0.15)
    assert coverage > 0.9
    assert density_and_coverage(true, 0.05 * normal(300, 2, 1))[1] < 0.2
