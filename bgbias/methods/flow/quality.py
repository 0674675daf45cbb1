"""Quality of a flow: its samples and densities against true moves of embeddings, on examples it was not trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import chi2, kstest, norm
from sklearn.linear_model import LinearRegression
from sklearn.mixture import GaussianMixture
from torch import Tensor

from bgbias.data.dataset import ORIGINAL, Dataset, Variant, batches
from bgbias.data.encoded import EncodedCopies, encoded_copies
from bgbias.data.features import Encoder
from bgbias.methods.flow.method import FlowEmbedding, features_of
from bgbias.methods.flow.module import FlowModule
from bgbias.methods.flow.two_sample import (
    ClassifierTest,
    KernelTest,
    classifier_test,
    density_and_coverage,
    kernel_test,
)
from bgbias.methods.flow.votes import VOTES, Vote
from bgbias.methods.method import Learner, own_of
from bgbias.progress import track
from bgbias.randomness import stream

MIXTURE = 8
"""Components of the mixture baseline."""
FEWEST = 20
"""Examples of a background class that its tests need."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Moves:
    """N embeddings before and after their background was replaced.

    own, moved: [N, E] float; place: [N] int64; label: [N] int64
    """

    own: Tensor
    moved: Tensor
    place: Tensor
    label: Tensor


@dataclass(frozen=True)
class Normality:
    """The noise to which the flow maps true moves: standard normal if the flow's distribution is right.

    pit: [N, E] in [0, 1], the normal distribution function of the noise; uniform if normal
    dimension_p: [E], p-values of Kolmogorov and Smirnov's test of each dimension
    radius: [N], squared lengths of the noise; chi-squared with E degrees of freedom if normal
    radius_p: p-value of the same test of the squared lengths, which sees all dimensions together
    """

    pit: Numbers
    dimension_p: Numbers
    radius: Numbers
    radius_p: float


@dataclass(frozen=True)
class ClassQuality:
    """Samples compared with true moves to backgrounds of one class, of images not seen in training.

    examples: the number of true moves
    """

    examples: int
    classifier: ClassifierTest
    kernel: KernelTest


@dataclass(frozen=True)
class FlowQuality:
    """A flow's samples compared with true moves.

    bits: bits per dimension of held-out moves, lower is better, of the flow and of the baselines
    normality: of the base space
    classes: by background class; classes with too few examples are left out
    density, coverage: of samples among true moves (`density_and_coverage`)
    agreement: the share of examples with the same prediction on a sampled and on the true move
    accuracy_sampled, accuracy_true: of the classifier on either
    inversion_error: the largest difference between an embedding and the reconstruction from its noise
    """

    bits: Mapping[str, float]
    normality: Normality
    classes: Mapping[int, ClassQuality]
    density: float
    coverage: float
    agreement: float
    accuracy_sampled: float
    accuracy_true: float
    inversion_error: float


@torch.no_grad()
def measure(learner: Learner, dataset: Dataset, swaps: int, count: int, seed: int) -> FlowQuality:
    """Compare the flow's samples with true moves of test examples.

    Args:
        learner: of a `flow_embedding`.
        dataset: as the checkpoint's method prepared it.
        swaps: backgrounds for each training example of the baselines.
        count: >= 1, the largest number of training and of test examples.
        seed: of the backgrounds and the samples.
    """
    module = own_of(learner, FlowModule)
    known = moves(learner, dataset.train.spread(count), swaps, stream(seed, "known moves"))
    held_out = moves(learner, dataset.test[ORIGINAL].spread(count), 1, stream(seed, "held-out moves"))
    noise = torch.randn(held_out.own.shape, generator=stream(seed, "samples")).to(held_out.own)
    sampled = module.moved(held_out.own, noise, held_out.place)
    predicted_sampled, predicted_true = (module.logits(found).argmax(dim=1) for found in (sampled, held_out.moved))
    base = module.noise(held_out.own, held_out.moved, held_out.place)
    again = module.moved(held_out.own, base, held_out.place)
    density, coverage = density_and_coverage(numbers(held_out.moved), numbers(sampled))
    return FlowQuality(
        bits=bits_per_dimension(module, known, held_out),
        normality=normality(numbers(base)),
        classes=by_class(held_out, sampled, seed),
        density=density,
        coverage=coverage,
        agreement=share(predicted_sampled == predicted_true),
        accuracy_sampled=share(predicted_sampled == held_out.label),
        accuracy_true=share(predicted_true == held_out.label),
        inversion_error=(again - held_out.moved).abs().max().item(),
    )


def moves(learner: Learner, variant: Variant, swaps: int, generator: torch.Generator) -> Moves:
    """Encode a variant's examples on `swaps` + 1 random backgrounds, and return their moves from each to the next.

    Moves start from any background, since a test image may have any.
    """
    copies: EncodedCopies = encoded_copies(variant, 1 + swaps, Encoder(partial(features_of, learner)), generator)
    batch = copies.batch(torch.arange(len(variant), device=variant.assignment.device))
    embedding = own_of(learner, FlowModule).embed(batch.image.flatten(0, 1)).unflatten(0, (len(variant), -1))
    return Moves(
        own=embedding[:, 1:-1].flatten(0, 1),
        moved=embedding[:, 2:].flatten(0, 1),
        place=batch.place[:, 2:].flatten(),
        label=batch.label.repeat_interleave(swaps),
    )


def bits_per_dimension(module: FlowModule, known: Moves, held_out: Moves) -> dict[str, float]:
    """Compute bits per dimension of held-out moves, for the flow and for Gaussian baselines fitted to known moves.

    The baselines use the same context as the flow, the own embedding and the class, by a linear regression of the move
    on it; one fits a full-covariance Gaussian to the residuals, the other a mixture.
    """
    flow = module.log_density(held_out.own, held_out.moved, held_out.place)
    found = {"flow": flow.double().mean().item()}
    context, seen = (numbers(module.context(part.own, part.place)) for part in (known, held_out))
    moved, seen_moved = (numbers(part.moved - part.own) for part in (known, held_out))
    regression = LinearRegression().fit(context, moved)
    residual, seen_residual = moved - regression.predict(context), seen_moved - regression.predict(seen)
    for name, components in (("gaussian", 1), ("gaussian_mixture", MIXTURE)):
        mixture = GaussianMixture(components, random_state=0, reg_covar=1e-6, max_iter=300).fit(residual)
        found[name] = float(mixture.score(seen_residual))
    width = held_out.own.shape[1]
    return {name: -value / (width * np.log(2)) for name, value in found.items()}


def normality(base: Numbers) -> Normality:
    """Test noise [N, E] against the standard normal distribution."""
    radius = np.square(base).sum(axis=1)
    return Normality(
        pit=norm.cdf(base),
        dimension_p=np.array([kstest(column, "norm").pvalue for column in base.T]),
        radius=radius,
        radius_p=float(kstest(radius, chi2(base.shape[1]).cdf).pvalue),
    )


def by_class(held_out: Moves, sampled: Tensor, seed: int) -> dict[int, ClassQuality]:
    """Run two-sample tests for each background class, on pairs (own embedding, move).

    Half of the images contribute their true move, the other half a sampled one, so that rows are independent.
    """
    found = {}
    classes = sorted(set(held_out.place.tolist()))
    for label in track(classes, "comparing samples with true moves", len(classes)):
        index = (held_out.place == label).nonzero()[:, 0]
        if len(index) < FEWEST:
            continue
        one, other = index[::2], index[1::2]
        true = numbers(torch.cat([held_out.own[one], held_out.moved[one] - held_out.own[one]], dim=1))
        made = numbers(torch.cat([held_out.own[other], sampled[other] - held_out.own[other]], dim=1))
        found[label] = ClassQuality(len(index), classifier_test(true, made, seed), kernel_test(true, made, seed))
    return found


@dataclass(frozen=True)
class Curve:
    """Accuracy on one variant, in [0, 1].

    backbone: of the frozen backbone's own predictions
    votes: by vote, then by number of samples; 0 is the prediction from the own embedding
    images: their number
    """

    backbone: float
    votes: Mapping[Vote, Mapping[int, float]]
    images: int


@torch.no_grad()
def sampling_curve(method: FlowEmbedding, learner: Learner, variant: Variant, samples: int) -> Curve:
    """Compute the accuracy of every vote at 0, 1, 2, 4, ... up to `samples` (a power of two), in one pass."""
    right: dict[tuple[Vote, int], int] = {}
    backbone = 0
    own, label = own_of(learner, FlowModule), variant.foregrounds.label

    def count(key: tuple[Vote, int], logits: Tensor, wanted: Tensor) -> None:
        right[key] = right.get(key, 0) + int((logits.argmax(dim=1) == wanted).sum())

    for index in batches(variant):
        features = features_of(learner, variant.batch(index).image)
        logits = learner.classifier.head(features)
        backbone += int((logits.argmax(dim=1) == label[index]).sum())
        for vote in VOTES:
            count((vote, 0), own.logits(own.embed(features)), label[index])
        for tally in method.tallies(own, features, samples):
            for vote in VOTES:
                count((vote, tally.count), tally.logits(vote), label[index])
    n = len(variant)
    votes = {vote: {s: found / n for (name, s), found in right.items() if name == vote} for vote in VOTES}
    return Curve(backbone / n, votes, n)


def numbers(tensor: Tensor) -> Numbers:
    """Convert a tensor to float64 on the CPU."""
    found: Numbers = tensor.double().cpu().numpy()
    return found


def share(right: Tensor) -> float:
    """Compute the share of True in a bool tensor."""
    return right.double().mean().item()
