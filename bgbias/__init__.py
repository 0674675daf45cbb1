"""Train image classifiers that look at the object and not at its background.

The names below are the library's public face; each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bgbias.api import Trained, challenge, evaluate, load, train
    from bgbias.components import Count, NonNegative, Pixels, Positive, Share, component
    from bgbias.data.datasets import datasets
    from bgbias.methods.method import Method

HOMES = {
    **dict.fromkeys(("Trained", "challenge", "evaluate", "load", "train"), "bgbias.api"),
    **dict.fromkeys(("Count", "NonNegative", "Pixels", "Positive", "Share", "component"), "bgbias.components"),
    "Method": "bgbias.methods.method",
    "datasets": "bgbias.data.datasets",
}
"""The module of each public name."""

__all__ = [
    "Count",
    "Method",
    "NonNegative",
    "Pixels",
    "Positive",
    "Share",
    "Trained",
    "challenge",
    "component",
    "datasets",
    "evaluate",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'bgbias' has no attribute '{name}'")
    return getattr(import_module(HOMES[name]), name)
