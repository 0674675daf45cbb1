"""Learned replacement: a chance of replacement for each class, by a rule, beside fixed schedules as controls."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from bgbias.components import Count, Positive, Share, component
from bgbias.data.assignment import by_class, of_class, of_random_class
from bgbias.data.dataset import Dataset, Variant
from bgbias.methods.background_predictions import background_predictions
from bgbias.methods.dynamic_replacement import redraw
from bgbias.methods.method import Learner, Method, Notes, Output, Stage, own_of
from bgbias.methods.passes import evaluating
from bgbias.methods.places import check_place_of_each_class
from bgbias.models.model import Classifier
from bgbias.optimization import Training
from bgbias.table import Table
from bgbias.types import Examples, Task

DRAWS = 10
"""Number of training pictures of a class that are shown at level 0; at level s, (s + 1) times as many."""
FARTHEST = 5.0
"""The highest absolute logit."""
AT_A_TIME = 256


class Chances(nn.Module):
    """The probabilities of replacement and the state of the rules that learn them.

    p: [K] in [0, 1], the probability of replacement of each class
    level: [K] int64 >= 0, of the rule `cuda`
    logit: [K]; square: >= 0, the sum over all steps of the mean of the classes' squared gradients, and steps: how many
        there were; of `bilevel`
    epochs: how many the run has
    """

    p: Tensor
    level: Tensor
    logit: Tensor
    square: Tensor
    steps: Tensor
    epochs: Tensor

    def __init__(self, classes: Sequence[str], start: float) -> None:
        super().__init__()
        self.classes = tuple(classes)
        k = len(self.classes)
        self.register_buffer("p", torch.full((k,), start))
        self.register_buffer("level", torch.zeros(k, dtype=torch.int64))
        self.register_buffer("logit", torch.full((k,), math.log(start / (1 - start))))
        self.register_buffer("square", torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("epochs", torch.ones((), dtype=torch.int64))


@component
class LearnedReplacement(Method):
    """Dynamic replacement with a chance p_c for each class c. Minimising the training loss in p would drive p to 0.

    rule: how p_c follows from training
        `heuristic`: before each epoch, `highest` times the accuracy on pictures of the class's background alone (2022);
            the k-th place must be the background of the k-th class
        `cuda`: before each epoch, level l_c rises by one if at every strength s = 0..l_c more than `threshold` of
            10 (s + 1) training pictures of c, each replaced with chance `highest` s / `levels`, are predicted rightly,
            else it falls by one; p_c = `highest` l_c / `levels`
        `bilevel`: each batch, a step down dL_val / dp_c =
            -(1 / n) sum_{i in c} <grad L_val, grad L_i(r_i) - grad L_i(x_i)>, r_i the replaced picture, gradients of
            the last layer alone, L_val the loss of the batch's other half on random backgrounds; p_c = `highest` times
            the sigmoid of the logit that the step moves
        `rising`, `falling`: p from 0 to `highest` over the epochs, or back, in a straight line, alike for all classes
        `cosine`: falling as half a cosine
    highest: in [0, 1], that no p_c exceeds
    start: in (0, 1), the sigmoid that `bilevel` begins with
    rate: > 0, of `bilevel`: the root mean square over the classes of how far the logits move in a batch, about
    levels: >= 1, of `cuda`
    threshold: in [0, 1], of `cuda`; published 0.6

    Supervision: mask, background
    Cost: ERM's; `cuda` at most 5 (levels + 1) (levels + 2) forward passes of a picture for each class and epoch more,
        `heuristic` 64, `bilevel` one and a half forward passes of each batch
    Sources: "Mitigating image background bias in DNN" (2022); S. Ahn et al., "CUDA: Curriculum of Data Augmentation for
    Long-tailed Recognition", 2023 (arXiv 2302.05499), algorithm 1, there for the strength of augmentation; T. Nauen
    et al., "ForAug", 2025 (arXiv 2503.09399), for the schedules. `bilevel` is our own: the exact derivative of one step
    of gradient descent.
    """

    needs_masks: ClassVar[bool] = True

    rule: Literal["heuristic", "cuda", "bilevel", "rising", "falling", "cosine"] = "bilevel"
    highest: Share = 1.0
    start: Annotated[float, Field(gt=0, lt=1)] = 0.1
    rate: Positive = 0.01
    levels: Count = 10
    threshold: Share = 0.6

    def build(self, task: Task, classifier: Classifier) -> Chances:
        if self.rule == "heuristic":
            check_place_of_each_class(self.name(), task)
        return Chances(task.classes, self.start)

    def stages(self, epochs: int) -> Sequence[Stage]:
        return (Stage(1), *[Stage(1, same_view=True)] * (epochs - 1))

    def optimizers(self, learner: Learner, training: Training) -> Sequence[Optimizer]:
        own_of(learner, Chances).epochs.fill_(training.epochs)
        return super().optimizers(learner, training)

    def enter(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> None:
        own = own_of(learner, Chances)
        if self.rule == "heuristic":
            own.p.copy_(self.highest * background_predictions(learner, dataset, rng).diagonal())
        elif self.rule == "cuda":
            accuracy = self.accuracy_by_strength(learner, dataset.train, own.level, rng)
            own.level.copy_(next_level(own.level, accuracy, self.threshold, self.levels))
            own.p.copy_(self.highest * own.level / self.levels)
        elif self.rule == "bilevel":
            own.p.copy_(self.highest * own.logit.sigmoid())
        else:
            own.p.fill_(self.highest * scheduled(self.rule, stage, int(own.epochs)))

    def assign(self, learner: Learner, examples: Examples, rng: Generator) -> Tensor:
        own = own_of(learner, Chances)
        if self.rule == "bilevel" and len(examples) > 1:
            gradient = self.chance_gradient(learner, examples, rng)
            slope = self.highest * own.logit.sigmoid() * (1 - own.logit.sigmoid())
            descend(own, gradient * slope, self.rate)
            own.p.copy_(self.highest * own.logit.sigmoid())
        return redraw(examples.background, examples.backgrounds.place, own.p[examples.label], rng)

    def notes(self, learner: Learner, validation: Mapping[str, Variant]) -> Notes:
        own = own_of(learner, Chances)
        return Notes({"mean_p": own.p.mean().item()}, {"p": Table.of(own.p[None], ("p",), own.classes)})

    @torch.no_grad()
    def chance_gradient(self, learner: Learner, examples: Examples, rng: Generator) -> Tensor:
        """dL_val / dp_c of a step of rate 1 on the batch's first half, [K]; the second half, swapped, validates."""
        half, classes = (len(examples) + 1) // 2, len(own_of(learner, Chances).p)
        swapped = examples.on(of_random_class(len(examples), examples.backgrounds.place, rng)).image
        plain = examples.on(examples.background).image[:half]
        with evaluating(learner.classifier):
            found = learner.output(torch.cat([plain, swapped]))
        residual, features = last_layer(found, torch.cat([examples.label[:half], examples.label]))
        own, other, validation = (slice(0, half), slice(half, 2 * half), slice(2 * half, None))
        ahead = residual[validation].T @ features[validation] / (len(examples) - half)
        gain = ((residual @ ahead) * features).sum(dim=1)
        return chance_gradient(gain[other] - gain[own], examples.label[:half], classes)

    @torch.no_grad()
    def accuracy_by_strength(self, learner: Learner, train: Variant, level: Tensor, rng: Generator) -> Tensor:
        """The share predicted rightly of each class at each strength up to its level, [K, L]; 1 beyond."""
        label, place = train.foregrounds.label.cpu(), train.backgrounds.place.cpu()
        level, device = level.cpu(), train.assignment.device
        classes = by_class(label).classes
        accuracy = torch.ones(len(level), int(level.max()) + 1)
        for strength in range(accuracy.shape[1]):
            wanted = classes[level[classes] >= strength].repeat_interleave(DRAWS * (strength + 1))
            index = of_class(wanted, label, rng)
            p = self.highest * strength / self.levels
            background = redraw(train.assignment.cpu()[index], place, p, rng)
            right = answered(learner, train, index.to(device), background.to(device)).cpu()
            accuracy[:, strength] = mean_by_class(right, wanted, len(level), otherwise=1.0)
        return accuracy.to(device)


def scheduled(rule: str, epoch: int, epochs: int) -> float:
    """The share in [0, 1] of the highest p at an epoch, counted from 0, of `epochs`."""
    progress = epoch / max(1, epochs - 1)
    return {"rising": progress, "falling": 1 - progress, "cosine": (1 + math.cos(math.pi * progress)) / 2}[rule]


def next_level(level: Tensor, accuracy: Tensor, threshold: float, highest: int) -> Tensor:
    """Raise a level by one if the accuracy exceeds the threshold at every strength up to it, otherwise lower it by one.

    Args:
        level: [K] int64 in 0..highest, as are the results.
        accuracy: [K, the highest of them + 1].
    """
    below = torch.arange(accuracy.shape[1], device=level.device) <= level[:, None]
    passed = ((accuracy > threshold) | ~below).all(dim=1)
    return torch.where(passed, level + 1, level - 1).clamp(0, highest)


def answered(learner: Learner, variant: Variant, index: Tensor, background: Tensor) -> Tensor:
    """Predict the examples at `index` on `background` ([n] int64 each): [n] float, 1 where the prediction is right."""
    batches = zip(index.split(AT_A_TIME), background.split(AT_A_TIME), strict=True)
    with evaluating(learner.classifier):
        found = [
            (learner(batch.image).argmax(dim=1) == batch.label).float()
            for batch in (variant.batch(rows, behind) for rows, behind in batches)
        ]
    return torch.cat(found)


def mean_by_class(value: Tensor, label: Tensor, classes: int, otherwise: float) -> Tensor:
    """The mean of [n] numbers in each of the classes, [K]; `otherwise` where there are none."""
    count = torch.bincount(label, minlength=classes)
    mean = torch.bincount(label, value, minlength=classes) / count.clamp(min=1)
    return torch.where(count > 0, mean, otherwise).float()


def last_layer(found: Output, label: Tensor) -> tuple[Tensor, Tensor]:
    """The factors of each example's gradient of cross-entropy in a linear head's weight and bias.

    Returns:
        softmax minus one-hot label [B, K], and features with a 1 appended [B, F + 1]; the gradient is their outer
        product.
    """
    residual = found.log_probability.float().exp()
    residual[torch.arange(len(label), device=label.device), label] -= 1
    return residual, nn.functional.pad(found.features.float(), (0, 1), value=1.0)


def chance_gradient(difference: Tensor, label: Tensor, classes: int) -> Tensor:
    """Compute -(1 / n) sum over the examples of each class of <grad L_val, grad L_i(r_i) - grad L_i(x_i)>: [K].

    Args:
        difference: [n], the inner products.
        label: [n] int64.
    """
    total = torch.zeros(classes, device=label.device, dtype=difference.dtype).index_add_(0, label, difference)
    return -total / len(label)


def descend(own: Chances, gradient: Tensor, rate: float) -> None:
    """A step of the logits down their gradient [K], divided by the root mean square of all gradients so far.

    One divisor for all classes and all steps keeps proportions: a class that gains more from replacement moves
    farther, and nothing moves far once replacement gains nothing.
    """
    own.steps += 1
    own.square += gradient.square().mean()
    scale = (own.square / own.steps).sqrt()
    own.logit.sub_(rate * gradient / scale.clamp(min=1e-12)).clamp_(-FARTHEST, FARTHEST)
