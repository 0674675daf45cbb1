"""Accuracy of a vote at every number of samples, for methods that predict by samples."""

from bgbias.components import component
from bgbias.evaluation.accuracy import share_correct
from bgbias.evaluation.evaluator import Evaluator, SplitResult
from bgbias.methods.method import Notes
from bgbias.metrics import accuracy_at


@component
class Votes(Evaluator):
    """`<split>/<variant>/accuracy_at/<samples>`."""

    def measure(self, found: SplitResult) -> Notes:
        return Notes(
            {
                accuracy_at(found.split, name, samples): share_correct(predictions.label, prediction)
                for name, predictions in found.predictions.items()
                for samples, prediction in predictions.by_samples.items()
            }
        )
