"""Two-sample tests and scores for rows of numbers."""

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
    """A classifier two-sample test.

    accuracy: of a classifier that separates the samples, in [0, 1]; one half if they cannot be separated
    p_value: of an accuracy this high if both samples come from one distribution
    """

    accuracy: float
    p_value: float


@dataclass(frozen=True)
class KernelTest:
    """A kernel two-sample test.

    mmd: the squared maximum mean discrepancy, >= 0; 0 if both samples are equal
    p_value: the share of random splits of all rows with at least this discrepancy
    """

    mmd: float
    p_value: float


def classifier_test(one: Rows, other: Rows, seed: int) -> ClassifierTest:
    """Run the classifier two-sample test with a random forest, on out-of-bag rows.

    Args:
        one: [n, D], independent rows; the larger sample is cut to the smaller's size.
        other: [m, D], independent rows.
        seed: of the forest.

    Source: D. Lopez-Paz, M. Oquab, "Revisiting Classifier Two-Sample Tests", 2017 (arXiv 1610.06545).
    """
    n = min(len(one), len(other))
    forest = RandomForestClassifier(TREES, oob_score=True, random_state=seed)
    forest.fit(np.concatenate([one[:n], other[:n]]), np.repeat([0, 1], n))
    right = round(float(forest.oob_score_) * 2 * n)
    return ClassifierTest(right / (2 * n), float(binomtest(right, 2 * n, alternative="greater").pvalue))


def kernel_test(one: Rows, other: Rows, seed: int) -> KernelTest:
    """Compute the maximum mean discrepancy (biased, so >= 0); the kernel is Gaussian, as wide as the median distance.

    Args:
        one: [n, D], independent rows.
        other: [m, D], independent rows.
        seed: of the permutations.

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
    """Compute the squared discrepancy between the first n rows of an order and the others, from all kernel values."""
    sign = np.full(len(order), -1 / (len(order) - n))
    sign[:n] = 1 / n
    weight = np.empty_like(sign)
    weight[order] = sign
    return max(0.0, (weight @ kernel @ weight).item())


def density_and_coverage(true: Rows, sampled: Rows) -> tuple[float, float]:
    """Compute the density of samples around true rows, and the share of true rows with a sample nearby.

    The density is about 1, larger if samples concentrate; the coverage is in [0, 1]. Nearby means within the distance
    to a true row's fifth nearest neighbour.
    Source: M. Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", 2020 (arXiv 2002.09797).
    """
    neighbours = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(true)
    radius = neighbours.kneighbors(true)[0][:, -1]
    inside = cdist(true, sampled) <= radius[:, None]
    return float(inside.sum() / (NEIGHBOURS * len(sampled))), float(inside.any(axis=1).mean())
