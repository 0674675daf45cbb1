"""Tests of differences between methods, from the predictions kept for every image and seed."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from bgbias.checkpoint import read_right
from bgbias.evaluation.statistics import SIGNIFICANT, holm
from bgbias.metrics import TEST
from study.display import counted
from study.record.family import member
from study.record.folder import CONFIRM, StudyFolder
from study.record.selection import Trial, each_ones_best
from study.report.significance import (
    FEWEST_SEEDS,
    Array,
    Interval,
    over_both,
    over_images,
    rank_biserial,
    seeds_needed,
    smallest_p,
    student,
    wilcoxon,
)

NUMBERED = re.compile(r"-\d{4,}$")
"""The end of a name of one trial of a space, such as `erm-0004`."""
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Right = Mapping[int, Bools]
"""By seed, which of N images one configuration predicted correctly: [N]."""


@dataclass(frozen=True)
class PairedTest:
    """One test of a comparison.

    p: two-sided; None where no number of this size of sample could be below 0.05
    holm: after Holm's correction over the declared family; None outside of it
    """

    p: float | None
    holm: float | None = None

    @property
    def significant(self) -> bool:
        """True if the difference is significant after the correction."""
        return self.holm is not None and self.holm < SIGNIFICANT


@dataclass(frozen=True)
class Comparison:
    """A space's winner against the baseline's on one test variant, over fresh seeds that both have.

    seeds: how many pairs of networks; images: how many images each
    difference: of the mean accuracies, in [-1, 1]
    both, over_seeds, over_images: 95 % intervals of it, for other seeds and images, for other seeds (None of a single
        one), and for other images with these networks
    by_seeds: exact paired Wilcoxon test, None below `FEWEST_SEEDS`
    by_images: paired permutation test with the networks fixed
    effect: matched-pairs rank-biserial correlation over seeds, in [-1, 1]: 1 where every seed is better
    standardised: mean difference over seeds in units of its standard deviation; None of a single or of equal ones
    declared: whether it belongs to the family that the study declared
    """

    variant: str
    space: str
    baseline: str
    seeds: int
    images: int
    difference: float
    both: Interval
    over_seeds: Interval | None
    over_images: Interval
    by_seeds: PairedTest
    by_images: PairedTest
    effect: float
    standardised: float | None
    declared: bool = True

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Make the comparison whose fields, as plain values, are given."""
        intervals = {name: found[name] and Interval(**found[name]) for name in ("both", "over_seeds", "over_images")}
        tests = {name: PairedTest(**found[name]) for name in ("by_seeds", "by_images")}
        return cls(**{**found, **intervals, **tests})

    @property
    def low(self) -> float:
        """The lower bound of the default interval, over seeds and images."""
        return self.both.low

    @property
    def high(self) -> float:
        """The upper bound of the default interval, over seeds and images."""
        return self.both.high


@dataclass(frozen=True)
class QuantityTest:
    """A space's winner against the baseline's on one quantity that is no variant's accuracy, over seeds that both have.

    seeds: how many pairs of networks
    difference: of the means
    interval: its 95 % interval over seeds by Student's t; None of a single seed
    by_seeds: exact paired Wilcoxon test, None below `FEWEST_SEEDS`; corrected over all quantity tests of the study
    effect: as `Comparison` has it
    """

    metric: str
    space: str
    baseline: str
    seeds: int
    difference: float
    interval: Interval | None
    by_seeds: PairedTest
    effect: float


def quantity_tests(values: Mapping[tuple[str, str], Mapping[int, float]], baseline: str) -> list[QuantityTest]:
    """Test every (metric, space) against the baseline's value of each seed; empty without a baseline.

    Args:
        values: by metric and space the value of each seed.
    """
    found = []
    for (metric, space), mine in values.items():
        bases = [own for own in values if own[0] == metric and baseline in (own[1], label_of_space(own[1]))]
        if not bases or bases[0][1] == space:
            continue
        theirs = values[bases[0]]
        each = [mine[seed] - theirs[seed] for seed in sorted(mine.keys() & theirs.keys())]
        if each:
            p = wilcoxon(each) if len(each) >= FEWEST_SEEDS else None
            mean, effect = float(np.mean(each)), rank_biserial(each)
            test = QuantityTest(metric, space, bases[0][1], len(each), mean, student(each), PairedTest(p), effect)
            found.append(test)
    after = adjusted([row.by_seeds for row in found])
    return [replace(row, by_seeds=test) for row, test in zip(found, after, strict=True)]


def compare(folder: StudyFolder, trials: Sequence[Trial], baseline: str, family: Sequence[str]) -> list[Comparison]:
    """Every space against the baseline, or where that is missing against the first, on every variant that both have.

    With several objectives it is every trial on a front that was trained again, against the baseline's first one.

    Args:
        trials: on fresh seeds.
        family: patterns of the comparisons whose p values are corrected together. Runners-up beside their space's
            winner are none of them, as the search decides which there are.
    """
    return compared(right_predictions(folder, trials), baseline, family)


def compared(right: Mapping[tuple[str, str], Right], baseline: str, family: Sequence[str]) -> list[Comparison]:
    """The same from what each (space, variant) predicted correctly."""
    spaces = list(dict.fromkeys(space for space, _ in right))
    if len(spaces) < 2:
        return []
    own = [space for space in spaces if baseline in (space, label_of_space(space))]
    base = next(iter([*own, *spaces]))

    def declared(space: str, variant: str) -> bool:
        label = label_of_space(space)
        return member(family, label, variant) and (space == label or label not in spaces)

    found = [
        against(variant, space, base, right[space, variant], right[base, variant], declared(space, variant))
        for variant in dict.fromkeys(variant for _, variant in right)
        for space in spaces
        if space != base and {(space, variant), (base, variant)} <= right.keys()
        if right[space, variant].keys() & right[base, variant].keys()
    ]
    return corrected(found)


def label_of_space(name: str) -> str:
    """The label of the space that a trained trial belongs to: `erm` of `erm` and of `erm-0004`."""
    return NUMBERED.sub("", name)


def right_predictions(folder: StudyFolder, trials: Sequence[Trial]) -> dict[tuple[str, str], dict[int, Bools]]:
    """By space and variant, which images each seed predicted correctly at its epoch chosen on validation data."""
    found: dict[tuple[str, str], dict[int, Bools]] = defaultdict(dict)
    for row in each_ones_best(trials):
        right = read_right(folder.checkpoint(row, CONFIRM), f"{TEST}/{row.variant}")
        found[row.space, row.variant][row.config["seed"]] = right.numpy()
    return found


def against(variant: str, space: str, baseline: str, right: Right, base: Right, declared: bool = True) -> Comparison:
    """One configuration against another on one variant, seed by seed and image by image; nothing is corrected."""
    seeds = sorted(right.keys() & base.keys())
    differences: Array = np.stack([right[seed].astype(float) - base[seed] for seed in seeds])
    each = differences.mean(axis=1)
    spread = float(each.std(ddof=1)) if len(seeds) > 1 else 0.0
    images, p = over_images(differences)
    return Comparison(
        variant=variant,
        space=space,
        baseline=baseline,
        seeds=len(seeds),
        images=differences.shape[1],
        difference=float(each.mean()),
        both=over_both(differences),
        over_seeds=student(each.tolist()),
        over_images=images,
        by_seeds=PairedTest(wilcoxon(each.tolist()) if len(seeds) >= FEWEST_SEEDS else None),
        by_images=PairedTest(p),
        effect=rank_biserial(each.tolist()),
        standardised=float(each.mean()) / spread if spread else None,
        declared=declared,
    )


def corrected(rows: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with Holm's correction over all declared ones together, each test by itself."""
    by_seeds = adjusted([row.by_seeds for row in rows if row.declared])
    by_images = adjusted([row.by_images for row in rows if row.declared])
    return [replace(row, by_seeds=next(by_seeds), by_images=next(by_images)) if row.declared else row for row in rows]


def adjusted(family: Sequence[PairedTest]) -> Iterator[PairedTest]:
    """A family's tests with Holm's correction. One that cannot reach 0.05 is counted among them all the same."""
    after = holm([1.0 if test.p is None else test.p for test in family])
    for test, p in zip(family, after, strict=True):
        yield test if test.p is None else PairedTest(test.p, p)


def units(rows: Sequence[Comparison]) -> list[str]:
    """Explain the marks of a table of comparisons, the tests behind them, and what cannot be concluded."""
    declared = [row for row in rows if row.declared]
    seeds = min((row.seeds for row in declared), default=0)
    of = f"Holm over the declared family of {counted(len(declared), 'comparison')}"
    lines = []
    reachable = bool(declared) and smallest_p(seeds) * len(declared) < SIGNIFICANT
    if reachable or any(row.by_seeds.significant for row in declared):
        lines.append(f"* p < {SIGNIFICANT} over seeds (exact paired Wilcoxon, {of})")
    if declared and seeds < FEWEST_SEEDS:
        lines.append(
            f"{counted(seeds, 'fresh seed')}: no test over seeds can reach {SIGNIFICANT} (the smallest p of {seeds} is "
            f"{smallest_p(seeds):.2g}); {FEWEST_SEEDS} can, and {seeds_needed(len(declared))} after {of}"
        )
    elif declared and not reachable:
        lines.append(
            f"{seeds} fresh seeds: the smallest p after {of} is {min(1.0, smallest_p(seeds) * len(declared)):.2g}; "
            f"{seeds_needed(len(declared))} seeds can reach {SIGNIFICANT}"
        )
    lines.append(
        f"° p < {SIGNIFICANT} over images alone (paired permutation, {of}): the networks are fixed, so it says nothing "
        "of other seeds"
    )
    if len(declared) < len(rows):
        lines.append("in brackets: outside the declared family, without a test")
    return lines
