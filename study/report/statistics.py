"""Whether methods differ by more than chance, from the answers kept for every image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from bgbias.checkpoint import read_right
from bgbias.evaluation.statistics import CONFIDENCE, holm
from bgbias.metrics import TEST
from study.record.folder import CONFIRM, StudyFolder
from study.record.selection import Trial, each_ones_best

RESAMPLES, SEED = 9999, 0

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Comparison:
    """A space's winner against the baseline's on one test variant, over fresh seeds.

    difference: of accuracies, each averaged over seeds, in [-1, 1]; low, high: its 95 % bootstrap interval
    p: that images tell the two apart by chance alone, by a paired permutation test; holm: the same after Holm's
        correction for all spaces compared on this variant

    Both resample images and hold the seeds' networks fixed.
    """

    variant: str
    space: str
    baseline: str
    difference: float
    low: float
    high: float
    p: float
    holm: float


def compare(folder: StudyFolder, trials: Sequence[Trial], baseline: str) -> list[Comparison]:
    """Every space against the baseline, or where that is missing against the first, on every variant that both have.

    With several objectives it is every trial on a front that was trained again, against the baseline's first one.
    """
    right = right_predictions(folder, trials)
    spaces = dict.fromkeys(trial.space for trial in trials)
    if len(spaces) < 2:
        return []
    own = [space for space in spaces if baseline in (space, space.rpartition("-")[0])]
    baseline = next(iter([*own, *spaces]))
    variants = dict.fromkeys(variant for _, variant in right)
    return [
        comparison
        for variant in variants
        if (baseline, variant) in right
        for comparison in against(
            variant,
            baseline,
            right[baseline, variant],
            {space: right[space, variant] for space in spaces if space != baseline and (space, variant) in right},
        )
    ]


def right_predictions(folder: StudyFolder, trials: Sequence[Trial]) -> dict[tuple[str, str], Array]:
    """By space and variant the share of seeds that answer each image rightly: [N] in [0, 1]."""
    each: dict[tuple[str, str], list[Array]] = {}
    for row in each_ones_best(trials):
        found = read_right(folder.checkpoint(row, CONFIRM), f"{TEST}/{row.variant}")
        each.setdefault((row.space, row.variant), []).append(found.double().numpy())
    return {key: np.mean(seeds, axis=0) for key, seeds in each.items()}


def against(variant: str, baseline: str, base: Array, others: Mapping[str, Array]) -> list[Comparison]:
    """Each of the others against the baseline, image by image."""
    tests = {space: paired(right, base) for space, right in others.items()}
    corrected = holm([p for *_, p in tests.values()])
    return [
        Comparison(variant, space, baseline, *tests[space], adjusted)
        for space, adjusted in zip(tests, corrected, strict=True)
    ]


def paired(one: Array, other: Array) -> tuple[float, float, float, float]:
    """The mean difference of two paired samples, the bounds of its interval, and the chance of one so large."""
    change = one - other
    if not change.any():
        return 0.0, 0.0, 0.0, 1.0
    interval = stats.bootstrap(
        (change,), np.mean, confidence_level=CONFIDENCE, n_resamples=RESAMPLES, method="percentile", rng=SEED
    ).confidence_interval
    test = stats.permutation_test(
        (one, other), mean_difference, permutation_type="samples", n_resamples=RESAMPLES, vectorized=True, rng=SEED
    )
    return float(change.mean()), float(interval.low), float(interval.high), float(test.pvalue)


def mean_difference(one: Array, other: Array, axis: int) -> Array:
    """mean(one) - mean(other) along an axis."""
    found: Array = np.mean(one - other, axis=axis)
    return found
