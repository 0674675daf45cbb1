"""Advice after an audit, in words."""

from bgbias.data.photographs import layout
from study.display import percent
from study.inspect.audit_result import Audit

NO_GAP, LARGE_GAP = 0.0, 0.05
"""A BG-Gap whose interval reaches the first is no sign of a bias; one above the second is a large one."""
TELLING = 5
"""A class was seen on backgrounds of another often enough to name them."""
NEAR_CHANCE = 1.5
"""Multiple of chance below which the model counts as untrained on these classes."""


def advice(found: Audit) -> tuple[str, str, str]:
    """Write advice in three lines: the size of the problem, its place, and what helps."""
    original, chance = found.variants[layout.ORIGINAL].accuracy, found.alone.chance
    always, share = largest_class(found)
    if original.value < NEAR_CHANCE * chance or original.low <= share:
        return (
            f"It is right on {percent(original.value, 0)} of the pictures as they are; guessing gives "
            f"{percent(chance, 0)}, and always saying {always} {percent(share, 0)}: this says nothing of backgrounds "
            "yet.",
            "Check that outputs and class folders mean the same (--classes), and what the model expects of pictures "
            f"(--normalise, --size); now: {found.model.get('normalisation', 'its own')}.",
            "Then run the audit again.",
        )
    gap = found.bg_gap
    span = f"{100 * gap.value:.1f} points ({100 * gap.low:.1f} to {100 * gap.high:.1f})"
    worst = found.variants[layout.MIXED_RAND]
    where = (
        f"Weakest on random backgrounds: {worst.worst_class}, {percent(worst.worst_class_accuracy.value, 0)} right"
        f"{worst_cell(found)}. Add pictures of it in other places, or paste it there."
    )
    if gap.low <= NO_GAP:
        return (
            f"No sign that it leans on backgrounds: BG-Gap is {span}, and zero lies in this interval.",
            where,
            "A smaller gap shows only with more pictures: four times as many halve the interval. Or try --challenge.",
        )
    size = "clearly" if gap.value >= LARGE_GAP else "a little"
    return (
        f"It leans {size} on backgrounds: one of a random class instead of its own costs {span}.",
        where,
        "Train with objects pasted on other backgrounds: build a dataset by `study data build`, then `study run erm "
        "dynamic_replacement worst_of_k --dataset imagenet9 --data DIR`, and audit the winner.",
    )


def largest_class(found: Audit) -> tuple[str, float]:
    """The class with the most pictures, and its share of them, which a model that always predicts it gets right."""
    pictures = [sum(row) for row in found.counts.values]
    largest = pictures.index(max(pictures))
    return found.classes[largest], pictures[largest] / sum(pictures)


def worst_cell(found: Audit) -> str:
    """The place where the weakest class fails most, in words; empty where too few places were seen often enough."""
    row = found.classes.index(found.variants[layout.MIXED_RAND].worst_class)
    seen = [
        (value, found.classes[column])
        for column, value in enumerate(found.places.values[row])
        if found.counts.values[row][column] >= TELLING
    ]
    return f", least on backgrounds of {min(seen)[1]}" if len(seen) > 1 else ""
