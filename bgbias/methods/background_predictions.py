"""A classifier's predictions from backgrounds alone."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from bgbias.data.assignment import of_class
from bgbias.data.compose import unit
from bgbias.data.dataset import Dataset
from bgbias.methods.method import Learner
from bgbias.methods.passes import evaluating

PROBES = 64
"""Number of backgrounds of each class that are shown, with repetition."""


@torch.no_grad()
def background_predictions(learner: Learner, dataset: Dataset, rng: Generator) -> Tensor:
    """Compute the shares of predicted classes among the background pictures of each place: [P, K].

    Rows of classes that have no background are zero.

    Args:
        rng: on the CPU.
    """
    back = dataset.train.backgrounds
    shares = torch.zeros(back.places, len(dataset.classes), device=back.place.device)
    with evaluating(learner.classifier):
        for place in back.place.unique().tolist():
            index = of_class(torch.full((PROBES,), place), back.place.cpu(), rng).to(back.place.device)
            image = unit(back.image[index]).expand(-1, *dataset.image_shape)
            shares[place] = F.one_hot(learner(image).argmax(dim=1), shares.shape[1]).float().mean(dim=0)
    return shares
