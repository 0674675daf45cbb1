"""Predictions from backgrounds alone: a classifier's own, and those of a head that is fitted to backgrounds."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from bgbias.data.assignment import by_class, of_class
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


@torch.no_grad()
def fitted_predictions(learner: Learner, dataset: Dataset, rng: Generator) -> Tensor:
    """Compute the shares of classes that can be predicted from the background pictures of each place: [P, K].

    A logistic regression is fitted to the body's features of half of the backgrounds, with labels that the training
    examples on their places have, and predicts the other half. A place's only background is in both halves. Rows of
    places without a background or without a training example are zero.

    Args:
        rng: on the CPU.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    back = dataset.train.backgrounds
    label_counts = dataset.training_groups[:, :-1].T.cpu().float()
    places = back.place.unique().cpu()
    places = places[label_counts[places].sum(dim=1) > 0].repeat_interleave(PROBES)
    label = torch.multinomial(label_counts[places], 1, generator=rng)[:, 0]

    def features(half: Tensor) -> Tensor:
        index = half[of_class(places, back.place.cpu()[half], rng)].to(back.place.device)
        image = unit(back.image[index]).expand(-1, *dataset.image_shape)
        return learner.classifier.features(image).float().cpu()

    with evaluating(learner.classifier):
        fitted_on, predicted_on = map(features, halves(back.place.cpu()))
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    predicted = torch.from_numpy(head.fit(fitted_on.numpy(), label.numpy()).predict(predicted_on.numpy()))
    counts = torch.zeros(back.places, len(dataset.classes))
    counts.index_put_((places, predicted), torch.ones(len(places)), accumulate=True)
    return (counts / PROBES).to(back.place.device)


def halves(place: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of every other background of each class, and of the rest; a class's only one is in both.

    Args:
        place: [M] int64, the class of each background; on the CPU.
    """
    known = by_class(place)
    rank = torch.empty_like(place)
    rank[known.rows] = torch.arange(len(place)) - known.first[place[known.rows]]
    first = rank % 2 == 0
    return first.nonzero()[:, 0], (~first | (known.count[place] == 1)).nonzero()[:, 0]
