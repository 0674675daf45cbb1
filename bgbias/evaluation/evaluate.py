"""All that a model is judged on, in one go."""

from collections.abc import Mapping

from pydantic.dataclasses import dataclass
from torch import nn

from bgbias.components import CHECKED
from bgbias.data.dataset import ORIGINAL, Dataset, Variant
from bgbias.evaluation.accuracy import Predictions, predict
from bgbias.evaluation.challenge import BackgroundChallenge
from bgbias.methods.method import Method
from bgbias.metrics import TEST, VALIDATION

CHALLENGE = "challenge"
"""The variant that stands for the Background Challenge: every foreground on the background that fools it, if any."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Evaluation:
    """What a model is judged on after every epoch.

    challenge: whether the Background Challenge is one more variant, `challenge`; it costs up to as many answers as
        there are pairs of foregrounds and backgrounds
    """

    challenge: bool = False


def evaluate(method: Method, module: nn.Module, dataset: Dataset, *, challenge: bool = False) -> dict[str, Predictions]:
    """Predictions on every validation and test variant, by `val/<variant>` and `test/<variant>`.

    challenge: whether the Background Challenge is one more variant
    """
    splits: dict[str, Mapping[str, Variant]] = {VALIDATION: dataset.validation, TEST: dataset.test}
    found = {}
    for split, variants in splits.items():
        for name, variant in variants.items():
            found[f"{split}/{name}"] = predict(method, module, variant)
        if challenge and ORIGINAL in variants:
            found[f"{split}/{CHALLENGE}"] = worst_answers(method, module, variants[ORIGINAL])
    return found


def worst_answers(method: Method, module: nn.Module, variant: Variant) -> Predictions:
    """For each foreground a wrong answer that some background provokes, or the right one if none does."""
    challenge = BackgroundChallenge(method, module, variant)
    while len(challenge.undecided):
        challenge.round()
    verdict = challenge.verdict()
    return Predictions(verdict.label, verdict.answer, loss=None)
