"""Accuracy, worst-class accuracy and loss of every variant, and the gaps that a dataset declares."""

import torch
import torch.nn.functional as F
from torch import Tensor

from bgbias.components import component
from bgbias.data.dataset import Variant, batches
from bgbias.evaluation.evaluator import Evaluator, Predictions, SplitResult
from bgbias.methods.method import Answers, Learner, Method, Notes
from bgbias.metrics import ACCURACY, LOSS, WORST_CLASS_ACCURACY, gap, variant_metric


@component
class Accuracy(Evaluator):
    """`<split>/<variant>/accuracy`, `.../worst_class_accuracy`, `.../loss`, and `<split>/<gap>`."""

    def measure(self, found: SplitResult) -> Notes:
        values: dict[str, float] = {}
        for name, predictions in found.predictions.items():
            values[variant_metric(found.split, name, ACCURACY)] = accuracy(predictions)
            if predictions.loss is not None:
                values[variant_metric(found.split, name, LOSS)] = predictions.loss
            values[variant_metric(found.split, name, WORST_CLASS_ACCURACY)] = worst_class_accuracy(predictions)
        for name, (one, other) in found.dataset.gaps.items():
            if one in found.predictions and other in found.predictions:
                difference = accuracy(found.predictions[one]) - accuracy(found.predictions[other])
                values[gap(found.split, name)] = difference
        return Notes(values)


@torch.no_grad()
def predict(method: Method, learner: Learner, variant: Variant) -> Predictions:
    """Run a learner over a variant that lies on the learner's device."""
    learner.eval()
    label = variant.foregrounds.label
    outputs: list[Tensor] = []
    places: list[Tensor] = []
    votes: dict[int, list[Tensor]] = {}
    for index in batches(variant):
        batch = variant.batch(index)
        answers = method.predict(learner, batch.image)
        if isinstance(answers, Answers):
            for samples, logits in answers.by_samples().items():
                votes.setdefault(samples, []).append(logits.argmax(dim=1).cpu())
        outputs.append((answers.logits if isinstance(answers, Answers) else answers).float())
        places.append(batch.place)
    logits = torch.cat(outputs)
    return Predictions(
        label=label.cpu(),
        prediction=logits.argmax(dim=1).cpu(),
        loss=F.cross_entropy(logits, label).item(),
        logits=logits.cpu(),
        place=torch.cat(places).cpu(),
        by_samples={samples: torch.cat(found) for samples, found in votes.items()},
    )


def accuracy(found: Predictions) -> float:
    """The share of images that are predicted correctly, in [0, 1]."""
    return share_correct(found.label, found.prediction)


def share_correct(label: Tensor, prediction: Tensor) -> float:
    """How many of [N] predictions equal their label, as a fraction."""
    return (label == prediction).double().mean().item()


def worst_class_accuracy(found: Predictions) -> float:
    """The lowest accuracy over the classes that occur, in [0, 1]."""
    total = torch.bincount(found.label)
    correct = torch.bincount(found.label[found.label == found.prediction], minlength=len(total)).double()
    return (correct[total > 0] / total[total > 0]).min().item()
