"""Intervals and tests for accuracies."""

from collections.abc import Sequence

import numpy as np

CONFIDENCE, SIGNIFICANT = 0.95, 0.05


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """Compute Wilson's 95 % interval of an accuracy, in [0, 1].

    Source: E. B. Wilson, 1927; scipy's `BinomTestResult.proportion_ci`.
    """
    from scipy.stats import binomtest

    found = binomtest(right, total).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Compute the 95 % bootstrap interval of a mean; if all values are equal, both ends are that value.

    Source: B. Efron, 1979; scipy's `bootstrap`, percentile method, 9,999 resamples of a fixed seed.
    """
    from scipy.stats import bootstrap

    sample = np.asarray(values, dtype=np.float64)
    if np.ptp(sample) == 0:
        return float(sample[0]), float(sample[0])
    found = bootstrap((sample,), np.mean, confidence_level=CONFIDENCE, n_resamples=9999, method="percentile", rng=0)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def holm(p: Sequence[float]) -> list[float]:
    """Correct k p-values by Holm's procedure (S. Holm, 1979): the smallest * k, the next * (k - 1), monotone."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(np.sort(p) * np.arange(len(p), 0, -1)))
    return [float(value) for value in adjusted]


def rejected(p: Sequence[float]) -> int:
    """Count the hypotheses that Holm's procedure rejects."""
    return sum(value <= SIGNIFICANT for value in holm(p))
