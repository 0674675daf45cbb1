"""Do two samples come from one distribution? Tests and scores for rows of numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import binomtest
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import NearestNeighbors

Rows = NDArray[np.float64]
TREES = 200
PERMUTATIONS = 200
NEIGHBOURS = 5


@dataclass(frozen=True)
class ClassifierTest:
    """
    accuracy: of a classifier that tells the samples apart, in [0, 1]; one half where it cannot
    p_value: of an accuracy this high if the samples came from one distribution
    """

    accuracy: float
    p_value: float


@dataclass(frozen=True)
class KernelTest:
    """
    mmd: the squared maximum mean discrepancy, >= 0; 0 where both samples are alike
    p_value: the share of random divisions of all rows that are at least as far apart
    """

    mmd: float
    p_value: float


def classifier_test(one: Rows, other: Rows, seed: int) -> ClassifierTest:
    """The classifier two-sample test: a random forest's accuracy on rows that its trees have not seen.

    Args:
        one, other: [n, D] and [m, D], independent rows; the larger is cut to the smaller's size.

    Source: D. Lopez-Paz, M. Oquab, "Revisiting Classifier Two-Sample Tests", 2017 (arXiv 1610.06545).
    """
    n = min(len(one), len(other))
    forest = RandomForestClassifier(TREES, oob_score=True, random_state=seed)
    forest.fit(np.concatenate([one[:n], other[:n]]), np.repeat([0, 1], n))
    right = round(float(forest.oob_score_) * 2 * n)
    return ClassifierTest(right / (2 * n), float(binomtest(right, 2 * n, alternative="greater").pvalue))


def kernel_test(one: Rows, other: Rows, seed: int) -> KernelTest:
    """The maximum mean discrepancy (biased, so >= 0) with a Gaussian kernel as wide as the median distance.

    Args:
        one, other: [n, D] and [m, D], independent rows.

    Source: A. Gretton et al., "A Kernel Two-Sample Test", 2012 (JMLR 13), equation 5.
    """
    rows, n = np.concatenate([one, other]), len(one)
    distance = cdist(rows, rows, "sqeuclidean")
    kernel = np.exp(-distance / np.median(distance[distance > 0]))
    rng = np.random.default_rng(seed)
    found = discrepancy(kernel, np.arange(len(rows)), n)
    others = [discrepancy(kernel, rng.permutation(len(rows)), n) for _ in range(PERMUTATIONS)]
    return KernelTest(found, (1 + sum(value >= found for value in others)) / (1 + PERMUTATIONS))


def discrepancy(kernel: Rows, order: NDArray[np.int64], n: int) -> float:
    """The squared discrepancy between the first n rows of an order and the others, from all pairs' kernel values."""
    sign = np.full(len(order), -1 / (len(order) - n))
    sign[:n] = 1 / n
    weight = np.empty_like(sign)
    weight[order] = sign
    return max(0.0, (weight @ kernel @ weight).item())


def density_and_coverage(true: Rows, sampled: Rows) -> tuple[float, float]:
    """How closely samples lie where true rows lie (about 1, more if they huddle), and the share of true rows that
    have a sample nearby, in [0, 1].

    Nearby is within the distance to a true row's fifth nearest neighbour.
    Source: M. Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", 2020 (arXiv 2002.09797).
    """
    neighbours = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(true)
    radius = neighbours.kneighbors(true)[0][:, -1]
    inside = cdist(true, sampled) <= radius[:, None]
    return float(inside.sum() / (NEIGHBOURS * len(sampled))), float(inside.any(axis=1).mean())
