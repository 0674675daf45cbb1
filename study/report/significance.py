"""Tests, intervals and effect sizes of paired differences, each with its unit. Pure functions.

Over seeds: each difference is of two networks that began with the same seed; it speaks of other seeds of the same
configurations, on the same test images. Over images: the networks are fixed; it speaks of other images. Over both: of
other seeds on other images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # its parts are imported when they are used: `stats` takes two seconds

from bgbias.evaluation.statistics import CONFIDENCE, SIGNIFICANT

FEWEST_SEEDS = 6
"""With fewer pairs no exact paired Wilcoxon test reaches 0.05: its smallest p is 2 ^ (1 - n)."""
LEAST = 1e-12
"""Smallest reported p over images; rounding errors of the Fourier transform are about as large."""
RESAMPLES, SEED = 9999, 0
DIGITS = 12
"""To which differences are rounded before they are ranked, so that equal ones are equal."""

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Interval:
    """Bounds that hold the true mean difference with 95 % confidence, in [-1, 1]."""

    low: float
    high: float


def smallest_p(seeds: int) -> float:
    """The smallest two-sided p of an exact paired Wilcoxon test of n seeds: 2 ^ (1 - n)."""
    return 2.0 ** (1 - seeds)


def seeds_needed(comparisons: int) -> int:
    """Number of paired seeds that the strongest of several comparisons needs for p <= 0.05 after Holm's correction."""
    return math.ceil(1 - math.log2(SIGNIFICANT / max(1, comparisons)) + 1e-9)


def wilcoxon(differences: Sequence[float]) -> float:
    """The two-sided exact p of Wilcoxon's signed-rank test, with ties: every pattern of signs is as likely.

    Differences of 0 are left out, equal ones share their mean rank. The distribution of the rank sum is found by adding
    one difference after the other, on doubled ranks, which are whole.

    Args:
        differences: [n], of paired values.

    Source: F. Wilcoxon, 1945; without ties the p of `scipy.stats.wilcoxon(method="exact")`.
    """
    found = np.round(np.asarray(differences, dtype=float), DIGITS)
    found = found[found != 0]
    if not len(found):
        return 1.0
    ranks = np.rint(2 * scipy.stats.rankdata(np.abs(found))).astype(int)
    chance = np.ones(1)
    for rank in ranks:
        longer = np.zeros(len(chance) + rank)
        longer[: len(chance)] += chance / 2
        longer[rank:] += chance / 2
        chance = longer
    at = int(ranks[found > 0].sum())
    return float(min(1.0, 2 * min(chance[: at + 1].sum(), chance[at:].sum())))


def rank_biserial(differences: Sequence[float]) -> float:
    """The effect size of Wilcoxon's test in [-1, 1]: the share of rank sums that favours the first minus the other's.

    Source: D. Kerby, "The Simple Difference Formula", 2014.
    """
    found = np.round(np.asarray(differences, dtype=float), DIGITS)
    found = found[found != 0]
    ranks = scipy.stats.rankdata(np.abs(found))
    return float((ranks * np.sign(found)).sum() / ranks.sum()) if len(found) else 0.0


def student(values: Sequence[float]) -> Interval | None:
    """Student's 95 % interval of a mean; None for a single value."""
    if len(values) < 2:
        return None
    mean, spread = float(np.mean(values)), float(scipy.stats.sem(values))
    half = float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * spread
    return Interval(mean - half, mean + half)


def over_images(differences: Array) -> tuple[Interval, float]:
    """The networks fixed: the percentile bootstrap interval over images, and the p of the paired permutation test.

    A permutation swaps the two methods on an image, for all seeds at once. As the sums over seeds are whole numbers,
    the distribution of the statistic is found exactly, by convolution over the sums that occur.

    Args:
        differences: [S, N] in {-1, 0, 1}, of S seeds on N images: right or not, minus the baseline's.
    """
    seeds, images = differences.shape
    sums = np.rint(differences.sum(axis=0)).astype(int)
    values, counts = np.unique(sums, return_counts=True)
    rng = np.random.default_rng(SEED)
    means = rng.multinomial(images, counts / images, size=RESAMPLES) @ values / (seeds * images)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(float(low), float(high)), permutation_p(sums)


def permutation_p(sums: np.ndarray[Any, np.dtype[np.int64]]) -> float:
    """The two-sided exact p that a sum is as far from 0 as found, where each of its terms may change its sign.

    A p below `LEAST` is reported as `LEAST`.

    Args:
        sums: [N] whole numbers. With terms of -1, 0 and 1 it is McNemar's exact test.
    """
    sizes, counts = np.unique(np.abs(sums), return_counts=True)
    chance = np.ones(1)
    for size, count in zip(sizes, counts, strict=True):
        if size:
            spread = np.zeros(2 * size * count + 1)
            spread[:: 2 * size] = scipy.stats.binom.pmf(np.arange(count + 1), count, 0.5)
            chance = scipy.signal.fftconvolve(chance, spread)
    middle = len(chance) // 2
    at = abs(int(sums.sum()))
    tail = np.clip(chance[middle + at :], 0, None).sum()
    return float(np.clip(2 * tail, LEAST, 1.0)) if at else 1.0


def p_text(p: float) -> str:
    """A p value with two digits, such as `0.031` or `< 1e-12`."""
    return f"{p:.2g}" if p > LEAST else f"< {LEAST:.0e}"


def over_both(differences: Array) -> Interval:
    """The interval over seeds and images together: two-level bootstrap variance, Student's t.

    Drawing seeds and images anew, both with replacement, gives the mean a variance that is known without drawing: a sum
    of the mean squares of a two-way layout (A. Owen, "The pigeonhole bootstrap", 2007). Here it is corrected for its
    bias, (MS_seeds + MS_images - MS_rest) / (S N), which few seeds need: percentiles of three cover far less than 95 %.
    The degrees of freedom are Satterthwaite's (1946) where images vary more than seeds, and those of the seeds
    otherwise. A single seed has images alone. In simulations it covers 92 to 98 % with 3 seeds, 94 to 98 % with 5 or
    more, and 87 to 98 % with 2.

    Args:
        differences: [S, N] of S seeds on N images.
    """
    seeds, images = differences.shape
    by_image, by_seed = differences.mean(axis=0), differences.mean(axis=1)
    mean = float(differences.mean())
    if seeds == 1:
        return student(by_image.tolist()) or Interval(-1.0, 1.0)
    rows, columns = seeds - 1, images - 1
    ms_seeds = images * float(np.square(by_seed - mean).sum()) / rows
    ms_images = seeds * float(np.square(by_image - mean).sum()) / columns
    total = float(np.square(differences - mean).sum())
    ms_rest = max(0.0, total - rows * ms_seeds - columns * ms_images) / (rows * columns)
    variance = max(ms_seeds + ms_images - ms_rest, ms_rest)
    if variance == 0:
        return Interval(mean, mean)
    freedom: float = rows
    if ms_seeds < ms_images:
        found = variance**2 / (ms_seeds**2 / rows + ms_images**2 / columns + ms_rest**2 / (rows * columns))
        freedom = max(rows, found)
    half = float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * math.sqrt(variance / (seeds * images))
    return Interval(max(-1.0, mean - half), min(1.0, mean + half))
