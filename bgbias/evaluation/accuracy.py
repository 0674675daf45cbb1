"""Accuracy per variant, from predictions kept per image."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgbias.data.dataset import Variant, batches
from bgbias.data.photographs.layout import MIXED_RAND, MIXED_SAME
from bgbias.methods.method import Method
from bgbias.metrics import (
    ACCURACY,
    LOSS,
    TEST,
    VALIDATION,
    WORST_CLASS_ACCURACY,
    accuracy_at,
    bg_gap,
    variant_metric,
)


@dataclass(frozen=True)
class Predictions:
    """What a model said of every image of a variant.

    label, prediction: [N] int64 on the CPU
    loss: mean cross-entropy; None where an answer is the worst of many
    logits: [N, K] float on the CPU, from which the prediction comes; empty where an answer is the worst of many
    at: by number of samples, what a vote over so many says, [N] int64; empty where the method draws none
    """

    label: Tensor
    prediction: Tensor
    loss: float | None
    logits: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    at: Mapping[int, Tensor] = field(default_factory=dict)


@torch.no_grad()
def predict(method: Method, module: nn.Module, variant: Variant) -> Predictions:
    """Run a module over a variant that lies on the module's device."""
    module.eval()
    label = variant.foregrounds.label
    outputs: list[Tensor] = []
    votes: dict[int, list[Tensor]] = {}
    for index in batches(variant):
        logits, by_samples = method.answers(module, variant.batch(index).image)
        outputs.append(logits.float())
        for samples, found in by_samples.items():
            votes.setdefault(samples, []).append(found.argmax(dim=1).cpu())
    logits = torch.cat(outputs)
    return Predictions(
        label=label.cpu(),
        prediction=logits.argmax(dim=1).cpu(),
        loss=F.cross_entropy(logits, label).item(),
        logits=logits.cpu(),
        at={samples: torch.cat(found) for samples, found in votes.items()},
    )


def summarise(predictions: Mapping[str, Predictions]) -> dict[str, float]:
    """`<split>/<variant>/accuracy`, `.../loss` and `.../worst_class_accuracy` of each."""
    metrics: dict[str, float] = {}
    for key, found in predictions.items():
        split, variant = key.split("/")
        metrics[variant_metric(split, variant, ACCURACY)] = accuracy(found)
        if found.loss is not None:
            metrics[variant_metric(split, variant, LOSS)] = found.loss
        metrics[variant_metric(split, variant, WORST_CLASS_ACCURACY)] = worst_class_accuracy(found)
        for samples, prediction in found.at.items():
            metrics[accuracy_at(split, variant, samples)] = share_right(found.label, prediction)
    return {**metrics, **background_gaps(metrics)}


def background_gaps(metrics: Mapping[str, float]) -> dict[str, float]:
    """`<split>/bg_gap`: Mixed-Same minus Mixed-Rand accuracy, where a dataset has both (Xiao et al., 2020)."""
    gaps = {}
    for split in (VALIDATION, TEST):
        same, rand = (variant_metric(split, variant, ACCURACY) for variant in (MIXED_SAME, MIXED_RAND))
        if same in metrics and rand in metrics:
            gaps[bg_gap(split)] = metrics[same] - metrics[rand]
    return gaps


def accuracy(found: Predictions) -> float:
    """The share of images answered rightly, in [0, 1]."""
    return share_right(found.label, found.prediction)


def share_right(label: Tensor, prediction: Tensor) -> float:
    """How many of [N] predictions equal their label, as a fraction."""
    return (label == prediction).double().mean().item()


def worst_class_accuracy(found: Predictions) -> float:
    """The lowest accuracy over the classes that occur, in [0, 1]."""
    total = torch.bincount(found.label)
    right = torch.bincount(found.label[found.label == found.prediction], minlength=len(total)).double()
    return (right[total > 0] / total[total > 0]).min().item()
