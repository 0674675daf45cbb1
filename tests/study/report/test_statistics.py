import numpy as np
import pytest
from scipy.stats import binomtest

from study.report.statistics import against, paired


def test_the_paired_test_of_right_and_wrong_answers_is_the_sign_test_on_those_that_differ():
    one = np.array([1.0] * 60 + [0.0] * 20 + [1.0] * 15 + [0.0] * 5)
    other = np.array([1.0] * 60 + [0.0] * 20 + [0.0] * 15 + [1.0] * 5)
    difference, low, high, p = paired(one, other)
    assert difference == pytest.approx(0.10)
    assert p == pytest.approx(binomtest(15, 20).pvalue, abs=0.01)
    # the standard error of the mean of 15 ones, 5 minus ones and 80 zeros is sqrt((.2 - .01) / 100)
    spread = 1.96 * np.sqrt(0.19 / 100)
    assert (low, high) == pytest.approx((0.10 - spread, 0.10 + spread), abs=0.012)


def test_alike_answers_do_not_differ():
    same = np.array([1.0, 0.0, 1.0])
    assert paired(same, same) == (0.0, 0.0, 0.0, 1.0)


def test_each_is_compared_with_the_baseline_and_corrected_for_all():
    rng = np.random.default_rng(0)
    base = (rng.random(400) < 0.5).astype(float)
    better = np.maximum(base, rng.random(400) < 0.2)
    shuffled = rng.permutation(base)
    found = {row.space: row for row in against("mixed_rand", "erm", base, {"better": better, "same": shuffled})}
    assert found["better"].difference > 0.05
    assert found["better"].low > 0
    assert found["better"].holm < 0.01
    assert found["better"].holm == pytest.approx(2 * found["better"].p)
    assert found["same"].holm > 0.05
    assert found["same"].baseline == "erm"
