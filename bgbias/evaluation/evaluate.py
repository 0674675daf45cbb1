"""All that a model is judged on, in one go."""

from collections.abc import Mapping

from torch import nn

from bgbias.components import Count, component
from bgbias.data.dataset import ORIGINAL, Dataset, Variant
from bgbias.evaluation.accuracy import Predictions, predict, summarise
from bgbias.evaluation.challenge import BackgroundChallenge, challenge_of
from bgbias.evaluation.saliency import object_saliency
from bgbias.methods.method import Method
from bgbias.metrics import OBJECT_SALIENCY, TEST, VALIDATION, variant_metric

CHALLENGE = "challenge"
"""The variant that stands for the Background Challenge: every foreground on the background that fools it, if any."""


@component
class Evaluation:
    """When a model is judged, and on what.

    every: after so many epochs each time, and after the last of those asked for; checkpoints are chosen among these
        epochs alone. A number beyond the epochs leaves the last one, so that nothing is chosen
    challenge: whether the Background Challenge is one more variant, `challenge`; it costs up to as many answers as
        there are pairs of foregrounds and backgrounds
    saliency: whether `<split>/<variant>/object_saliency` is told, the mean share of the input gradient that lies on
        the object, over at most 1,000 pictures of each variant
    """

    every: Count = 1
    challenge: bool = False
    saliency: bool = False


def judge(
    method: Method, module: nn.Module, dataset: Dataset, evaluation: Evaluation
) -> tuple[dict[str, Predictions], dict[str, float]]:
    """The predictions on every variant, and all metrics that were asked for."""
    predictions = evaluate(method, module, dataset, challenge=evaluation.challenge)
    metrics = summarise(predictions)
    if evaluation.saliency:
        for split, variants in splits(dataset).items():
            for name, variant in variants.items():
                share = object_saliency(method, module, variant.pictured())
                metrics[variant_metric(split, name, OBJECT_SALIENCY)] = share
    return predictions, metrics


def evaluate(method: Method, module: nn.Module, dataset: Dataset, *, challenge: bool = False) -> dict[str, Predictions]:
    """Predictions on every validation and test variant, by `val/<variant>` and `test/<variant>`.

    challenge: whether the Background Challenge is one more variant
    """
    found: dict[str, Predictions] = {}
    for split, variants in splits(dataset).items():
        answers = {name: predict(method, module, variant) for name, variant in variants.items()}
        if challenge and ORIGINAL in variants:
            answers[CHALLENGE] = worst_answers(challenge_of(method, module, variants, answers))
        found |= {f"{split}/{name}": answer for name, answer in answers.items()}
    return found


def splits(dataset: Dataset) -> dict[str, Mapping[str, Variant]]:
    """The variants a model is judged on, by `val` and `test`."""
    return {VALIDATION: dataset.validation, TEST: dataset.test}


def worst_answers(challenge: BackgroundChallenge) -> Predictions:
    """For each foreground a wrong answer that some background provokes, or the right one if none does."""
    while len(challenge.undecided):
        challenge.round()
    verdict = challenge.verdict()
    return Predictions(verdict.label, verdict.answer, loss=None)
