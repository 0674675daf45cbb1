"""Deep feature reweighting: the last layer is fitted anew on equally many examples of each group."""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from bgbias.components import Count, component
from bgbias.data.dataset import Dataset, Variant
from bgbias.errors import DataError, SettingError
from bgbias.methods.balanced import balanced_draw
from bgbias.methods.frozen import with_features
from bgbias.methods.last_layer import LastLayer, features_of
from bgbias.methods.method import Learner, Notes, Stage
from bgbias.models.model import Classifier
from bgbias.optimization import Training
from bgbias.types import Task

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

INVERSE_STRENGTHS = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)
"""The paper's choices of C, the inverse strength of the L1 penalty."""
CHOICE_SHARE = 1 / 3
"""Of the head's examples, those that C is chosen on."""
PASSES, TOLERANCE = 100, 1e-3
"""The most passes over the examples of one fit, and the relative change of the weights at which it ends."""


@component
class Dfr(LastLayer):
    """The mean of `draws` logistic regressions with an L1 penalty, each on a group-balanced draw of the features.

    Features are standardised by the mean and deviation of the body's training features:

        minimise |W|_1 + C sum_i CE(W phi_i + b, y_i)

    C is one of 1, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01: the one whose fit to a draw from two thirds of the head's examples
    has the best worst-group accuracy on the third, the mean over groups deciding a tie. The mean then goes over draws
    from all of them. scikit-learn fits: liblinear for two classes, as published, and the multinomial SAGA for more, of
    at most 100 passes. The run has a single epoch, and Training is not used but for the body.

    The paper takes all validation images, half of them to choose C; here a share of them, as checkpoints are chosen on
    the rest, and of several validation variants the one with the most groups (the first of equals), such as one with
    moved backgrounds. It reports training images (`data=train`) too, but of those that the body was trained on.

    draws: >= 1; published 10, and 20 on validation data in its code
    backbone, backbone_epochs, data, held_out: as `bgbias.methods.last_layer.LastLayer` has them

    Supervision: group, of the head's examples
    Cost: the body's training, one forward pass over all pictures, and seconds to minutes of fitting
    Source: P. Kirichenko et al., "Last Layer Re-Training is Sufficient for Robustness to Spurious Correlations", 2023
    (arXiv 2204.02937).
    """

    takes_steps: ClassVar[bool] = False

    draws: Count = 10

    def stages(self, epochs: int) -> Sequence[Stage]:
        return super().stages(1)

    def head_variant(self, variants: Mapping[str, Variant]) -> str:
        return max(variants, key=lambda name: len(variants[name].group.unique()))

    def build(self, task: Task, classifier: Classifier) -> nn.Module:
        outputs, classes = classifier.linear.out_features, len(task.classes)
        if outputs != classes:
            raise SettingError(
                f"dfr needs one output for each of the {classes} classes, but the model has {outputs}: "
                "set model/scores=classes or choose another model"
            )
        own = super().build(task, classifier)
        own.register_buffer("c", torch.ones(()))
        return own

    def enter(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> None:
        found = with_features(learner.classifier, dataset)
        label, group = found.train.foregrounds.label.cpu(), found.train.group.cpu()
        check_classes(label, dataset.classes)
        mean, deviation = statistics(features_of(found.train if found.body_train is None else found.body_train))
        phi = (features_of(found.train) - mean) / deviation
        c = chosen_strength(phi, label, group, rng)
        weight, bias = mean_fit(phi, label, group, c, self.draws, rng)
        linear = learner.classifier.linear
        with torch.no_grad():
            linear.weight.copy_(weight / deviation)
            linear.bias.copy_(bias - weight @ (mean / deviation))
            learner.own.get_buffer("c").fill_(c)

    def optimizers(self, learner: Learner, training: Training) -> Sequence[Optimizer]:
        return []

    def notes(self, learner: Learner, validation: Mapping[str, Variant]) -> Notes:
        return Notes({"c": learner.own.get_buffer("c").item()})


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each of [N, F] features, [F] each; a deviation of 0 is given as 1."""
    deviation, mean = torch.std_mean(features, dim=0, correction=0)
    return mean, deviation.where(deviation > 0, 1.0)


def chosen_strength(features: Tensor, label: Tensor, group: Tensor, generator: Generator) -> float:
    """Choose the C whose fit to a balanced draw from two thirds has the best worst-group accuracy on the third.

    Args:
        features: [N, F], standardised.
        label, group: [N] int64; all on the CPU, as the generator.

    Raises:
        DataError: the two thirds have a single class.
    """
    order = torch.randperm(len(label), generator=generator)
    chosen_on, rest = order.split([round(CHOICE_SHARE * len(order)), len(order) - round(CHOICE_SHARE * len(order))])
    if len(label[rest].unique()) < 2:
        raise DataError(
            f"dfr chooses C by fits to {len(rest)} of the held-out examples, which have a single class: raise "
            "method/held_out or change method/data"
        )
    drawn = rest[balanced_draw(group[rest], generator)]

    def quality(c: float) -> tuple[float, float]:
        fitted = fit(features[drawn], label[drawn], c, generator)
        correct = torch.from_numpy(fitted.predict(features[chosen_on].numpy())) == label[chosen_on]
        accuracy = [correct[group[chosen_on] == number].double().mean().item() for number in group[chosen_on].unique()]
        return min(accuracy), sum(accuracy) / len(accuracy)

    return max(INVERSE_STRENGTHS, key=quality)


def mean_fit(
    features: Tensor, label: Tensor, group: Tensor, c: float, draws: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Compute weights [K, F] and biases [K], the mean over fits to balanced draws.

    Args:
        features: [N, F], standardised.
        label: [N] int64, with all K classes.
        group: [N] int64; on the CPU.
    """
    found = []
    for _ in range(draws):
        drawn = balanced_draw(group, generator)
        found.append(head_of(fit(features[drawn], label[drawn], c, generator)))
    weights, biases = zip(*found, strict=True)
    return torch.stack(weights).mean(dim=0), torch.stack(biases).mean(dim=0)


def fit(features: Tensor, label: Tensor, c: float, generator: Generator) -> "LogisticRegression":
    """Logistic regression with an L1 penalty on features [n, F] of labels [n] int64, two classes at least."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    solver = "liblinear" if len(label.unique()) == 2 else "saga"
    seed = int(torch.randint(1 << 31, (), generator=generator))
    made = LogisticRegression(C=c, l1_ratio=1.0, solver=solver, max_iter=PASSES, tol=TOLERANCE, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return made.fit(features.numpy(), label.numpy())


def head_of(fitted: "LogisticRegression") -> tuple[Tensor, Tensor]:
    """Its weights [K, F] and biases [K]; two classes share one row, half of it each, of opposite signs."""
    weight, bias = (torch.from_numpy(array).float() for array in (fitted.coef_, fitted.intercept_))
    if len(fitted.classes_) == 2:
        return torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    return weight, bias


def check_classes(label: Tensor, classes: Sequence[str]) -> None:
    """Check that the head's examples have every class.

    Raises:
        DataError: the head's examples lack a class.
    """
    missing = [name for number, name in enumerate(classes) if not (label == number).any()]
    if missing:
        raise DataError(
            f"dfr fits its head on examples of every class, but the {len(label)} held out have none of "
            f"'{missing[0]}': raise method/held_out or change method/data"
        )
