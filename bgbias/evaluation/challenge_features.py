"""The Background Challenge with a frozen body: features of every object on every background, computed once."""

import torch

from bgbias.data.dataset import Variant, batches
from bgbias.data.encoded import features_on
from bgbias.data.features import KEPT_BYTES, Encoder
from bgbias.evaluation.evaluator import Predictions
from bgbias.methods.method import Learner, Method, logits_of


def fit_on_disk(variant: Variant, width: int) -> bool:
    """Return True if `width` features of every object on every background take no more room than a dataset's may."""
    return 4 * len(variant) * len(variant.backgrounds) * width <= KEPT_BYTES


@torch.no_grad()
def worst_on_features(method: Method, learner: Learner, variant: Variant, encode: Encoder) -> Predictions:
    """For each object, the wrong prediction on the first background that gives one, or the label if there is none.

    Args:
        method: computes predictions.
        learner: is put into eval mode.
        variant: the N objects as pictures, and the M backgrounds.
        encode: the learner's body.

    Raises:
        DataError: some features are not finite, or the disk has no room for them.
    """
    learner.eval()
    label = variant.foregrounds.label
    everywhere = torch.arange(len(variant.backgrounds), device=label.device).expand(len(variant), -1)
    features = features_on(variant, everywhere, encode)
    worst = []
    for index in batches(variant):
        shown = features[index.to(features.device)].to(label.device)
        predicted = logits_of(method, learner, shown.flatten(0, 1)).argmax(dim=1).view(shown.shape[:2])
        wrong = predicted != label[index, None]
        first = predicted.gather(1, wrong.int().argmax(dim=1, keepdim=True))[:, 0]
        worst.append(torch.where(wrong.any(dim=1), first, label[index]))
    return Predictions(label.cpu(), torch.cat(worst).cpu(), loss=None)
