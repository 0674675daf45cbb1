"""Accuracy, balanced and worst-class accuracy and loss of every variant, and the gaps that a dataset declares."""

from collections.abc import Mapping
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from bgbias.components import component
from bgbias.data.dataset import Variant, batches, of_same_foregrounds
from bgbias.evaluation.evaluator import Evaluator, Predictions, SplitResult
from bgbias.methods.method import Learner, Method, Notes, SampledLogits
from bgbias.metrics import ACCURACY, BALANCED_ACCURACY, LOSS, WORST_CLASS_ACCURACY, gap, variant_metric


@component
class Accuracy(Evaluator):
    """Accuracy, loss, and accuracies over classes.

    `<split>/<variant>/accuracy`, `.../loss`, the mean (`.../balanced_accuracy`) and the lowest
    (`.../worst_class_accuracy`) accuracy over classes, and `<split>/<gap>`.
    """

    def measure(self, found: SplitResult) -> Notes:
        values: dict[str, float] = {}
        for name, predictions in found.predictions.items():
            values[variant_metric(found.split, name, ACCURACY)] = accuracy(predictions)
            if predictions.loss is not None:
                values[variant_metric(found.split, name, LOSS)] = predictions.loss
            by_class = class_accuracies(predictions)
            values[variant_metric(found.split, name, BALANCED_ACCURACY)] = by_class.mean().item()
            values[variant_metric(found.split, name, WORST_CLASS_ACCURACY)] = by_class.min().item()
        for name, (one, other) in found.dataset.gaps.items():
            if one in found.predictions and other in found.predictions:
                difference = accuracy(found.predictions[one]) - accuracy(found.predictions[other])
                values[gap(found.split, name)] = difference
        return Notes(values)


def predict(method: Method, learner: Learner, variant: Variant) -> Predictions:
    """Predict a variant on the learner's device."""
    return predict_all(method, learner, {"": variant})[""]


def predict_all(method: Method, learner: Learner, variants: Mapping[str, Variant]) -> dict[str, Predictions]:
    """Predict variants on the learner's device; shared foregrounds are read once."""
    found = {
        name: one
        for group in of_same_foregrounds(variants)
        for name, one in _predict_group(method, learner, group).items()
    }
    return {name: found[name] for name in variants}


@torch.no_grad()
def _predict_group(method: Method, learner: Learner, group: Mapping[str, Variant]) -> dict[str, Predictions]:
    """Predict variants of the same foregrounds, all of them for one batch of examples before the next."""
    learner.eval()
    outputs: dict[str, list[Tensor]] = {name: [] for name in group}
    votes: dict[str, dict[int, list[Tensor]]] = {name: {} for name in group}
    first = next(iter(group.values()))
    for index in batches(first):
        read = cache(partial(first.foregrounds.read, index))
        for name, variant in group.items():
            predicted = method.predict(learner, variant.images(index, read))
            if isinstance(predicted, SampledLogits):
                for samples, logits in predicted.by_samples().items():
                    votes[name].setdefault(samples, []).append(logits.argmax(dim=1))
            outputs[name].append((predicted.logits if isinstance(predicted, SampledLogits) else predicted).float())
    return {name: _predictions(group[name], torch.cat(outputs[name]), votes[name]) for name in group}


def _predictions(variant: Variant, logits: Tensor, votes: Mapping[int, list[Tensor]]) -> Predictions:
    label = variant.foregrounds.label
    everything = torch.arange(len(variant), device=label.device)
    return Predictions(
        label=label.cpu(),
        prediction=logits.argmax(dim=1).cpu(),
        loss=F.cross_entropy(logits, label).item(),
        logits=logits.cpu(),
        place=variant.places(everything, variant.assignment).cpu(),
        by_samples={samples: torch.cat(found).cpu() for samples, found in votes.items()},
    )


def accuracy(found: Predictions) -> float:
    """The share of images that are predicted correctly, in [0, 1]."""
    return share_correct(found.label, found.prediction)


def share_correct(label: Tensor, prediction: Tensor) -> float:
    """Compute the share of [N] predictions that equal their label, in [0, 1]."""
    return (label == prediction).double().mean().item()


def class_accuracies(found: Predictions) -> Tensor:
    """The accuracy of each class that occurs, in [0, 1]: [classes] float64."""
    total = torch.bincount(found.label)
    correct = torch.bincount(found.label[found.label == found.prediction], minlength=len(total)).double()
    return correct[total > 0] / total[total > 0]
