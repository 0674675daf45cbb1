"""The hooks of a method. A method overrides the hook where its idea lives; as it stands, this is ERM.

once                  prepare -> build -> stages
at a stage's start    enter -> view
each batch            assign -> augment -> loss (with penalties) -> weigh
beside the loop       optimizers, notes, predict
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, TypeVar

import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from bgbias.components import Component
from bgbias.data.dataset import Dataset, Variant
from bgbias.models.model import Classifier
from bgbias.optimization import Training
from bgbias.table import Table
from bgbias.types import Batch, Examples, Task

CROSS_ENTROPY = "cross_entropy"
SUPERVISION = ("class", "group", "mask", "background")
"""Supervision beside labels: classes to balance, (class, place) groups, masks, other backgrounds."""

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Stage:
    """Some epochs of a run that are trained in one way.

    epochs: >= 1
    by: None for the run's own method; or what trains the classifier beforehand, shared by all runs of one seed: the
        name of another method, or the folder of a checkpoint. Only a run's first stage may have it, and its epochs do
        not count among the run's
    held_out: in [0, 1), the share of the training sources that the other method (`by`) is not trained on
        (`bgbias.data.dataset.held_out`)
    restart: begin with a fresh classifier and fresh optimisers, made after `enter`, which still has the trained one;
        what the method learned beside it (`own`) is kept
    evaluated: whether checkpoints may be chosen in this stage
    same_view: keep the view of the stage before
    """

    epochs: int
    by: str | None = None
    held_out: float = 0.0
    restart: bool = False
    evaluated: bool = True
    same_view: bool = False


class Learner(nn.Module):
    """The module that is trained, saved and resumed: a classifier and whatever a method learns beside it.

    classifier: from images [B, C, H, W] to logits [B, K]; every checkpoint holds it
    own: what the method learns beside it, such as group weights, a probability per class or a flow; may be empty
    """

    def __init__(self, classifier: Classifier, own: nn.Module) -> None:
        super().__init__()
        self.classifier, self.own = classifier, own

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B, K] of images [B, C, H, W], or of their features [B, F]."""
        logits: Tensor = self.classifier(image)
        return logits

    def output(self, image: Tensor) -> "Output":
        """Features and logits of images [B, C, H, W], or of their features [B, F], from one forward pass."""
        features = self.classifier.features(image)
        return Output(features, self.classifier.head(features))


@dataclass(frozen=True)
class Output:
    """The result of one forward pass.

    features: [B, F], the head's input; logits: [B, K]
    """

    features: Tensor
    logits: Tensor

    @cached_property
    def log_probability(self) -> Tensor:
        """Log-softmax of the logits, [B, K]."""
        return F.log_softmax(self.logits, dim=1)


@dataclass(frozen=True)
class SampledLogits:
    """Predictions by a vote over samples.

    logits: [B, K], of the chosen number of samples
    by_samples: gives the logits [B, K] for every number of samples
    """

    logits: Tensor
    by_samples: Callable[[], Mapping[int, Tensor]]


@dataclass(frozen=True)
class Notes:
    """Numbers and matrices that a method reports after an epoch.

    values: numbers by name; tables: matrices by name
    """

    values: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)


class Method(Component):
    """A way to train. Its fields are its hyper-parameters; what it learns lives in the learner.

    differentiates_input: whether `penalties` takes gradients with respect to `batch.image`; the loop then prepares the
        body by `differentiate_twice`
    needs_pixels: whether it reads or changes pixels or masks itself, beside composing and classifying examples. Other
        methods have features in the place of pictures where the body is frozen
    needs_masks: whether it has no meaning for pictures without masks
    takes_steps: whether it trains in batches; False if it fits everything at a stage's start
    analyses: names of the analyses that a checkpoint of it has beside those of every method
    """

    differentiates_input: ClassVar[bool] = False
    needs_pixels: ClassVar[bool] = False
    needs_masks: ClassVar[bool] = False
    takes_steps: ClassVar[bool] = True
    analyses: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def supervision(cls) -> tuple[str, ...]:
        """Supervision beside labels, among `SUPERVISION`, by the line `Supervision:` of its docstring."""
        line = re.search(r"^ *Supervision: (.*?)(?:;|, but|, of|$)", inspect.getdoc(cls) or "", re.MULTILINE)
        return tuple(word for word in SUPERVISION if line and re.search(rf"\b{word}\b", line[1]))

    def prepare(self, dataset: Dataset, rng: Generator) -> Dataset:
        """Once, before training: the dataset to train and evaluate on."""
        return dataset

    def build(self, task: Task, classifier: Classifier) -> nn.Module:
        """Once: the learner's `own` part, given the classifier that it stands beside."""
        return nn.Module()

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Once: how a run of at most `epochs` epochs is divided."""
        return (Stage(epochs),)

    def enter(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> None:
        """At a stage's start, once: change the learner's parameters and buffers.

        A resumed run does not repeat it, so its effects must live in what `state_dict` holds.
        """

    def view(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> Dataset:
        """At a stage's start and after a resume: make the dataset that the stage trains and evaluates on.

        It may hold features instead of pictures, for instance. The result depends on the arguments only.
        """
        return dataset

    def assign(self, learner: Learner, examples: Examples, rng: Generator) -> Tensor:
        """Each batch: the background that each example stands on, [B] int64."""
        return examples.background

    def augment(self, learner: Learner, batch: Batch, rng: Generator) -> Batch:
        """Each batch: the examples to train on. Returns a new batch, or the one it was given, unchanged."""
        return batch

    def loss(self, learner: Learner, batch: Batch, rng: Generator) -> dict[str, Tensor]:
        """Each batch: named terms, each [B] or a scalar. The loop minimises the sum of their means."""
        image = batch.image.detach().requires_grad_(self.differentiates_input)
        output = learner.output(image)
        cross_entropy = F.nll_loss(output.log_probability, batch.label, reduction="none")
        return {CROSS_ENTROPY: cross_entropy, **self.penalties(learner, replace(batch, image=image), output, rng)}

    def penalties(self, learner: Learner, batch: Batch, output: Output, rng: Generator) -> dict[str, Tensor]:
        """Each batch: further terms of the loss, each [B] or a scalar, from the forward pass of the cross-entropy."""
        return {}

    def weigh(self, learner: Learner, batch: Batch, terms: Mapping[str, Tensor]) -> Tensor | None:
        """Each batch: how much each example counts, [B] >= 0; multiplies the terms [B]. None: all count 1."""
        return None

    def optimizers(self, learner: Learner, training: Training) -> Sequence[Optimizer]:
        """At the start and at each restart: what updates the learner."""
        return [training.make_optimizer(learner)]

    def predict(self, learner: Learner, image: Tensor) -> Tensor | SampledLogits:
        """Logits [B, K] of images [B, C, H, W], or of their features [B, F], for evaluation."""
        return learner.output(image).logits

    def notes(self, learner: Learner, validation: Mapping[str, Variant]) -> Notes:
        """Before each evaluation: report what the method learned, to be tracked.

        It may choose parameters of prediction on validation data, and keep them in the learner.
        """
        return Notes()


def logits_of(method: Method, learner: Learner, image: Tensor) -> Tensor:
    """A method's logits [B, K] of images [B, C, H, W], or of their features [B, F]."""
    found = method.predict(learner, image)
    return found.logits if isinstance(found, SampledLogits) else found


def own_of(learner: Learner, kind: type[M]) -> M:
    """Get the module that a method's `build` made for a learner.

    Raises:
        TypeError: another method made it.
    """
    if not isinstance(learner.own, kind):
        raise TypeError(f"the method needs the {kind.__name__} that it builds, but got {type(learner.own).__name__}")
    return learner.own


def build_learner(method: Method, task: Task, classifier: Classifier) -> Learner:
    """A method's learner around a classifier."""
    return Learner(classifier, method.build(task, classifier))
