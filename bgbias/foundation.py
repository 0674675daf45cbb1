"""What a method builds on: a classifier that something else has trained before."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from bgbias import checkpoint
from bgbias.config import RunConfig
from bgbias.data.dataset import Dataset
from bgbias.errors import CheckpointError, SettingError
from bgbias.methods import methods
from bgbias.methods.method import Foundation, Method
from bgbias.models.model import Model
from bgbias.progress import track
from bgbias.training import Trainer, Training

Weights = Mapping[str, Tensor]


def classifier_weights(
    config: RunConfig, dataset: Dataset, device: torch.device
) -> Callable[[], Mapping[str, Tensor]] | None:
    """How to get the weights that a run's classifier begins with; None where it begins as the model makes it.

    Raises:
        SettingError, CheckpointError: as `check` has them; also a checkpoint of other image sizes.
    """
    check(config, dataset.classes)
    wanted = config.method.foundation()
    if wanted is None:
        return None
    if wanted.source in methods:
        method, training = methods[wanted.source](), training_of(config, wanted)
        return functools.partial(trained, method, config.model, dataset, training, config.seed, device)
    weights = stored(Path(wanted.source), config, dataset.classes)
    with torch.device("meta"):
        expected = config.model.build(dataset.image_shape, len(dataset.classes)).state_dict()
    if {name: value.shape for name, value in weights.items()} != {n: value.shape for n, value in expected.items()}:
        raise CheckpointError(
            f"a backbone must fit this run's images {dataset.image_shape}, but {wanted.source} was trained on others: "
            "give another"
        )
    return lambda: weights


def check(config: RunConfig, classes: Sequence[str]) -> None:
    """Whether what a run's method builds on is there and fits.

    Args:
        classes: the names of the dataset's classes.

    Raises:
        SettingError: it names neither a method that needs no foundation itself nor a folder.
        CheckpointError: the folder holds no checkpoint, or one of another dataset, model or kind or of other classes.
    """
    wanted = config.method.foundation()
    if wanted is None:
        return
    if wanted.source in methods:
        if methods[wanted.source]().foundation() is not None:
            raise SettingError(
                f"a backbone must be trained by a method that needs none itself, but got '{wanted.source}': take erm"
            )
    elif Path(wanted.source).is_dir():
        stored(Path(wanted.source), config, classes)
    else:
        raise SettingError(
            f"a backbone must be none, the folder of a checkpoint, or one of the methods {', '.join(methods)}, "
            f"but got '{wanted.source}'"
        )


def training_of(config: RunConfig, wanted: Foundation) -> Training:
    """How a foundation is trained: as the library does by default, so that all trials of a study share it."""
    own = config.training
    return Training(epochs=wanted.epochs, schedule="cosine", precision=own.precision, channels_last=own.channels_last)


@functools.lru_cache(maxsize=1)
def trained(
    method: Method, model: Model, dataset: Dataset, training: Training, seed: int, device: torch.device
) -> Weights:
    """The weights of a classifier after its training; the last one asked for in this process is kept."""
    trainer = Trainer(method, model, dataset, training, seed, device)
    for _ in track(range(training.epochs), "training the backbone", training.epochs):
        trainer.train_epoch()
    return {name: value.clone() for name, value in trainer.module.state_dict().items()}


def stored(folder: Path, config: RunConfig, classes: Sequence[str]) -> Weights:
    """The weights of a checkpoint.

    Raises:
        CheckpointError: there is none, or it is of another dataset, of other classes or of another model, or holds
            more than a classifier.
    """
    found = checkpoint.load(folder)
    for what, own, wanted in (
        ("dataset", found.config.dataset.name(), config.dataset.name()),
        ("model", found.config.model, config.model),
    ):
        if own != wanted:
            raise CheckpointError(
                f"a backbone must have this run's {what}, {wanted}, but {folder} has {own}: give another"
            )
    checkpoint.check_classes(folder, found.classes, classes, str(config.data or config.dataset.name()))
    if found.config.method.foundation() is not None:
        raise CheckpointError(
            f"a backbone must be a plain classifier, but {folder} is of {found.config.method.name()}: give another"
        )
    return found.weights
