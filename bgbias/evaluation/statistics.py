"""Intervals and tests for accuracies."""

from scipy.stats import binomtest

CONFIDENCE = 0.95


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """Wilson's interval of an accuracy, with 95 % confidence, in [0, 1].

    Source: E. B. Wilson, 1927; scipy's `BinomTestResult.proportion_ci`.
    """
    found = binomtest(right, total).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)
