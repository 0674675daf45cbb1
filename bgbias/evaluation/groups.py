"""Accuracy by group. A group is a cell (class, place): the place is the class of the background an object stands on.

Source: S. Sagawa et al., "Distributionally Robust Neural Networks for Group Shifts", 2020 (arXiv 1911.08731), for
worst-group accuracy and the average weighted by training shares.
"""

import torch
from torch import Tensor

from bgbias.components import component
from bgbias.data.dataset import NOWHERE
from bgbias.evaluation.evaluator import Evaluator, Predictions, SplitResult
from bgbias.methods.method import Notes
from bgbias.metrics import (
    ADJUSTED_ACCURACY,
    CORRECT,
    COUNT,
    MEAN_GROUP_ACCURACY,
    WORST_GROUP_ACCURACY,
    variant_metric,
)
from bgbias.table import Table


@component
class Groups(Evaluator):
    """Accuracies over groups.

    `<split>/<variant>/worst_group_accuracy`, `mean_group_accuracy` and `adjusted_accuracy`, and the class x place
    tables `count` and `correct`.
    """

    def measure(self, found: SplitResult) -> Notes:
        values: dict[str, float] = {}
        tables: dict[str, Table] = {}
        classes, places = found.dataset.classes, (*found.dataset.places, NOWHERE)
        for name, predictions in found.predictions.items():
            if not len(predictions.place):
                continue
            count, correct = group_counts(predictions, len(classes), len(places))
            summary = group_accuracies(count, correct, found.dataset.training_groups.cpu())
            values |= {variant_metric(found.split, name, what): value for what, value in summary.items()}
            for what, cells in ((COUNT, count), (CORRECT, correct)):
                tables[variant_metric(found.split, name, what)] = Table.of(cells, classes, places)
        return Notes(values, tables)


def group_counts(found: Predictions, classes: int, places: int) -> tuple[Tensor, Tensor]:
    """Count the images of each (class, place) cell, and those predicted correctly.

    Args:
        found: the predictions on a variant.
        classes: the number of classes.
        places: the number of places, with "no background" as the last.

    Returns:
        Two tensors [classes, places] int64.
    """
    cell = found.label * places + found.place.remainder(places)
    correct = cell[found.label == found.prediction]
    count, hits = (torch.bincount(cells, minlength=classes * places) for cells in (cell, correct))
    return count.view(classes, places), hits.view(classes, places)


def group_accuracies(count: Tensor, correct: Tensor, training: Tensor) -> dict[str, float]:
    """Compute the lowest, the mean and the training-weighted accuracy over the groups that occur, in [0, 1].

    The adjusted accuracy weights each group by its share of the training set, among the groups that occur here; it is
    left out if no training group occurs.

    Args:
        count: [K, P + 1] int64, images of each group.
        correct: [K, P + 1] int64, images of each group that are predicted correctly.
        training: [K, P + 1] int64, training examples of each group.
    """
    here = count > 0
    accuracy = correct[here].double() / count[here]
    found = {WORST_GROUP_ACCURACY: accuracy.min().item(), MEAN_GROUP_ACCURACY: accuracy.mean().item()}
    weight = training[here].double()
    if weight.sum() > 0:
        found[ADJUSTED_ACCURACY] = ((weight * accuracy).sum() / weight.sum()).item()
    return found
