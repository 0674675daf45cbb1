"""Divergence of a run: a pure function of its recorded metrics."""

import math
from collections.abc import Sequence

from bgbias.methods.method import CROSS_ENTROPY
from bgbias.metrics import train_loss
from study.record.epoch import Metrics

DIVERGED = "diverged"
"""Name of the tag, and of the entry in reports, that holds the reason why a run has diverged."""
FAR, EPOCHS = 20.0, 3
"""A run has diverged if a term of its loss exceeds FAR times its start in each of the last EPOCHS epochs."""
CHANCE = math.log(1000)
"""The cross-entropy of guessing among 1,000 classes, the highest start that counts."""


def divergence(history: Sequence[Metrics]) -> str | None:
    """Return the reason why a run has diverged by the last epoch of its history, or None if it has not.

    A run has diverged if a term of its training loss is not finite, or was more than `FAR` times its start in each of
    the last `EPOCHS` epochs. `start` defines the start.
    """
    if not history:
        return None
    for name, value in history[-1].items():
        if not name.startswith(train_loss("")):
            continue
        if not math.isfinite(value):
            return f"{name} is {value}"
        recent = [metrics[name] for metrics in history[-EPOCHS:] if name in metrics]
        limit = FAR * start(name, history)
        if len(recent) == EPOCHS and min(recent) > limit:
            return f"{name} was above {limit:.3g}, {FAR:g} times its start, for {EPOCHS} epochs"
    return None


def start(name: str, history: Sequence[Metrics]) -> float:
    """A term's value in its first epoch, at least 1; for the cross-entropy at most `CHANCE`, that of guessing."""
    first = abs(next(metrics[name] for metrics in history if name in metrics))
    return max(1.0, min(first, CHANCE) if name == train_loss(CROSS_ENTROPY) else first)
