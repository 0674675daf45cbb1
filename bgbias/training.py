"""The training loop. It knows no method by name and no metric but its own."""

import re
import time
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from bgbias.cuda_graph import take_one_by_one, take_steps
from bgbias.data.dataset import Dataset
from bgbias.errors import DataError, SettingError
from bgbias.methods.frozen import frozen_view
from bgbias.methods.method import Learner, Method, Notes, Stage, build_learner
from bgbias.metrics import BACKWARD_PASSES, FORWARD_PASSES, IMAGES_PER_SECOND, train_loss
from bgbias.models.model import Classifier, Model
from bgbias.models.twice import differentiate_twice
from bgbias.optimization import Training
from bgbias.randomness import derive, repeatable, stream
from bgbias.types import Batch

Pretrained = Callable[[Stage], Mapping[str, Tensor]]
"""From a stage that something else trains to the classifier's weights after it."""


def choose_device(name: str = "auto") -> torch.device:
    """`cpu`, `cuda` (or `cuda:1`), or `auto`: a GPU where there is one.

    Raises:
        SettingError: the device is unknown or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise SettingError(f"device must be auto, cpu, cuda or cuda:<number>, but got '{name}'")
    device, gpus = torch.device(name), torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise SettingError(f"device '{name}' is not available: {gpus or 'no'} GPUs were found; use cpu or auto")
    return device


class Trainer:
    """One run: a method trains a model on a dataset.

    All randomness of an epoch is drawn from (seed, epoch), so the learner, the optimisers and the epoch's number are
    all the state there is.

    dataset: as the method prepared it; `view` is what the current stage trains and evaluates on
    epochs: how many the run has
    """

    def __init__(
        self,
        method: Method,
        model: Model,
        dataset: Dataset,
        training: Training,
        seed: int,
        device: torch.device,
        pretrained: Pretrained | None = None,
    ) -> None:
        """Prepare the dataset, and build and initialise the learner.

        Args:
            pretrained: returns the classifier's weights after a stage that another method trains.

        Raises:
            DataError: the dataset has nothing to train on, or the method leaves nothing to choose checkpoints on.
            SettingError: the method's stages do not fit the epochs.
        """
        self.method, self.training, self.seed, self.device = method, training, seed, device
        self.dataset = method.prepare(dataset, stream(seed, "prepare")).to(device)
        if not len(self.dataset.train):
            raise DataError(f"{dataset.name} has no training pictures here: it can only be evaluated on")
        for name, variant in self.dataset.validation.items():
            if not len(variant):
                raise DataError(
                    f"{method.name()} takes all validation pictures of variant '{name}', and none is left to choose "
                    "checkpoints on: give it a smaller share of them, or more validation pictures"
                )
        check_masks(method, dataset)
        self._model, self._pretrained = model, pretrained
        self.learner = training.place(make_learner(method, model, dataset, seed, pretrained=True), device)
        if method.differentiates_input:
            differentiate_twice(self.learner.classifier.body)
        self._learning = [parameter for parameter in self.learner.parameters() if parameter.requires_grad]
        self.schedule = Schedule(method, training.epochs)
        self.epochs = self.schedule.epochs
        self.optimizers = self._make_optimizers()
        self.epoch = 0
        self._view: Dataset | None = None
        self._viewed = -1

    @property
    def stage(self) -> int:
        """The number of the stage that the next epoch belongs to, or the last epoch if there is no next."""
        return self.schedule.stage_at(min(self.epoch, self.epochs - 1))

    @property
    def done(self) -> bool:
        """True if all epochs are trained."""
        return self.epoch >= self.epochs

    @property
    def evaluated(self) -> bool:
        """True if the newest epoch belongs to a stage whose checkpoints may be chosen."""
        return self.schedule.stages[self.schedule.stage_at(max(0, self.epoch - 1))].evaluated

    @property
    def view(self) -> Dataset:
        """The dataset as the last epoch's stage sees it, or before the first epoch, the first stage."""
        return self.view_after(self.epoch)

    def view_after(self, epoch: int) -> Dataset:
        """The dataset as the stage of an epoch (from 1) sees it; of 0, the first stage."""
        return self._view_of(self.schedule.stage_at(max(0, epoch - 1)))

    def train_epoch(self) -> dict[str, float]:
        """Train on every example once, in the order that the settings ask for.

        Returns:
            `train/loss/<term>`: the mean over the epoch's examples; `train/images_per_second`; and
            `train/forward_passes` and `train/backward_passes`, what the steps put through the body.
        """
        if self.epoch == self.schedule.start_of(self.stage):
            self._enter(self.stage)
        view = self._view_of(self.stage)
        n = len(view.train)
        order = self.order(n).to(self.device)
        draws = stream(self.seed, "draws", self.epoch, self.device)
        factor = self.training.rate_factor(*self.schedule.progress_at(self.epoch))
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = group["initial_lr"] * factor
        totals: dict[str, Tensor] = {}

        def step(index: Tensor) -> None:
            for term, value in self.step(index, draws).items():
                if term not in totals:
                    totals[term] = torch.zeros((), device=self.device)
                totals[term].add_(value * len(index))

        self.training.set_modes(self.learner)
        passes = self.learner.classifier.passes
        before, started = (passes.forward, passes.backward), time.perf_counter()
        with repeatable(), torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(derive(self.seed, "module", self.epoch))
            batches = order.split(self.training.batch_size) if self.optimizers else ()
            if self.training.cuda_graphs:
                take_steps(step, batches, draws, self.optimizers, passes)
            else:
                take_one_by_one(step, batches)
        losses = {train_loss(term): total.item() / n for term, total in totals.items()}
        seconds = time.perf_counter() - started
        self.epoch += 1
        counted = {FORWARD_PASSES: passes.forward - before[0], BACKWARD_PASSES: passes.backward - before[1]}
        return {**losses, IMAGES_PER_SECOND: n / seconds, **{name: float(count) for name, count in counted.items()}}

    def order(self, examples: int) -> Tensor:
        """The order in which the next epoch trains on the examples: [examples] int64."""
        if not self.training.shuffle:
            return torch.arange(examples)
        return torch.randperm(examples, generator=stream(self.seed, "order", self.epoch))

    def notes(self) -> Notes:
        """Let the method report after an epoch; it may fit on validation data a setting that its predictions use."""
        with self.training.arithmetic(self.device):
            return self.method.notes(self.learner, self.view.validation)

    def step(self, index: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        """Train on the examples at `index` ([B] int64).

        Returns:
            The means of the loss's terms, detached.
        """
        batch = self.batch(index, draws)
        with self.training.arithmetic(self.device):
            terms = self.method.loss(self.learner, batch, draws)
            weight = self.method.weigh(self.learner, batch, terms)
        if weight is not None and all(value.ndim == 0 for value in terms.values()):
            raise SettingError(
                f"{self.method.name()} weighs examples, but its loss has no term of each: choose another method"
            )
        means = {term: mean_of(value, weight) for term, value in terms.items()}
        for parameter in self._learning:
            parameter.grad = None
        reduce(torch.add, means.values()).backward(inputs=self._learning)
        for optimizer in self.optimizers:
            optimizer.step()
        return {term: value.detach() for term, value in means.items()}

    def batch(self, index: Tensor, draws: torch.Generator) -> Batch:
        """The training examples at `index` ([B] int64), as the method has them."""
        examples = self._view_of(self.stage).training_examples(index, draws)
        background = self.method.assign(self.learner, examples, draws)
        return self.method.augment(self.learner, examples.on(background), draws)

    def state(self) -> dict[str, Any]:
        """The state that `load_state` needs in addition to the learner's weights."""
        return {"epoch": self.epoch, "optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}

    def load_state(self, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Go on as if never stopped: to the bit on a CPU."""
        self.learner.load_state_dict(weights)
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.epoch = state["epoch"]

    def _enter(self, number: int) -> None:
        """Begin a stage."""
        stages, classifier = self.schedule.stages, self.learner.classifier
        before = stages[number - 1] if number else None
        if before is not None and before.by is not None:
            if self._pretrained is None:
                raise SettingError(f"a backbone trained by '{before.by}' must be given, but there is none")
            classifier.load_state_dict(self._pretrained(before))
        with self.training.arithmetic(self.device):
            self.method.enter(number, self.learner, self._seen, stream(self.seed, "enter", number))
        if stages[number].restart:
            fresh = make_classifier(self._model, self.dataset, self.seed, pretrained=True)
            classifier.load_state_dict(fresh.state_dict())
            self.optimizers = self._make_optimizers()

    @property
    def _seen(self) -> Dataset:
        """The prepared dataset, as features where the body is frozen and the method needs no pixels."""
        training = self.training
        if not training.uses_features or self.method.needs_pixels:
            return self.dataset
        return frozen_view(self.learner.classifier, self.dataset, training.feature_views, training.feature_swaps)

    def _view_of(self, number: int) -> Dataset:
        number = self.schedule.view_of(number)
        if self._view is None or self._viewed != number:
            with self.training.arithmetic(self.device):
                self._view = self.method.view(number, self.learner, self._seen, stream(self.seed, "encode"))
            self._viewed = number
        return self._view

    def _make_optimizers(self) -> list[Optimizer]:
        made = list(self.method.optimizers(self.learner, self.training))
        for group in (group for optimizer in made for group in optimizer.param_groups):
            group["initial_lr"] = group["lr"]
        return made


class Schedule:
    """A run's stages over its epochs.

    stages: all of them; the first may be trained by something else, and has no epoch among the run's
    epochs: how many the run has, at most those that were given
    """

    def __init__(self, method: Method, epochs: int) -> None:
        """Divide the epochs into the method's stages.

        Raises:
            SettingError: the stages take no epoch, or more than there are.
        """
        self.stages = list(method.stages(epochs))
        self._ends: list[int] = []
        for stage in self.stages:
            self._ends.append((self._ends[-1] if self._ends else 0) + (0 if stage.by else stage.epochs))
        self.epochs = self._ends[-1]
        short = [stage for stage in self.stages if stage.epochs < 1]
        if short or not 1 <= self.epochs <= epochs:
            raise SettingError(
                f"{method.name()} needs at least one epoch for each of its {len(self.stages)} stages, and no more than "
                f"{epochs} together, but got {[stage.epochs for stage in self.stages]}: give more epochs"
            )

    def stage_at(self, epoch: int) -> int:
        """The number of the stage that an epoch (from 0) belongs to."""
        return next(number for number, end in enumerate(self._ends) if epoch < end)

    def start_of(self, number: int) -> int:
        """A stage's first epoch, from 0."""
        return self._ends[number - 1] if number else 0

    def view_of(self, number: int) -> int:
        """The stage whose view a stage has."""
        while self.stages[number].same_view:
            number -= 1
        return number

    def progress_at(self, epoch: int) -> tuple[int, int]:
        """Number of epochs since the last restart, and number of epochs from there to the next restart or the end."""
        restarts = [self.start_of(number) for number, stage in enumerate(self.stages) if stage.restart]
        since = max([0, *(start for start in restarts if start <= epoch)])
        until = min([self.epochs, *(start for start in restarts if start > epoch)])
        return epoch - since, until - since


def check_masks(method: Method, dataset: Dataset) -> None:
    """Check that the dataset has the masks that a method needs.

    Raises:
        SettingError: the method needs masks and the dataset has none.
    """
    if method.needs_masks and not dataset.has_masks:
        raise SettingError(
            f"{method.name()} needs the masks of the objects, but {dataset.name} has none: set dataset/masks to a "
            "folder of masks, or choose a method that needs none"
        )


def mean_of(term: Tensor, weight: Tensor | None) -> Tensor:
    """The mean of a loss's term, [B] or a scalar, with examples weighted by [B] >= 0; a scalar has no examples."""
    return (term if weight is None or term.ndim == 0 else weight * term).mean()


def make_classifier(model: Model, dataset: Dataset, seed: int, *, pretrained: bool) -> Classifier:
    """The freshly initialised classifier, a function of its arguments alone.

    pretrained: whether a model whose weights come from elsewhere fetches them
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(derive(seed, "initialisation"))
        return _classifier(model, dataset, pretrained)


def make_learner(method: Method, model: Model, dataset: Dataset, seed: int, *, pretrained: bool = False) -> Learner:
    """The freshly initialised learner that the method trains, a function of its arguments alone.

    pretrained: whether a model whose weights come from elsewhere fetches them
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(derive(seed, "initialisation"))
        return build_learner(method, dataset.task, _classifier(model, dataset, pretrained))


def _classifier(model: Model, dataset: Dataset, pretrained: bool) -> Classifier:
    classifier = model.build(dataset.task)
    if pretrained:
        model.initialise(classifier)
    return classifier
