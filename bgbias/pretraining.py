"""Stages of a run whose classifier something else trains: another method, or the run of a checkpoint."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from bgbias import checkpoint
from bgbias.config import RunConfig
from bgbias.data.dataset import Dataset, held_out
from bgbias.errors import CheckpointError, SettingError
from bgbias.methods import methods
from bgbias.methods.combined import SEPARATOR
from bgbias.methods.method import Method, Stage
from bgbias.models.model import Model
from bgbias.optimization import Training
from bgbias.progress import track
from bgbias.training import Trainer

Weights = Mapping[str, Tensor]
CLASSIFIER = "classifier."
"""Prefix of the names of a classifier's weights in a checkpoint."""


def pretrained_weights(config: RunConfig, dataset: Dataset, device: torch.device, stage: Stage) -> Weights:
    """The classifier's weights after a stage that something else trains.

    Raises:
        SettingError, CheckpointError: as `check_stage` has them; also a checkpoint of other image sizes.
    """
    check_stage(config, stage, dataset.classes)
    source = str(stage.by)
    method = method_named(source)
    if method is not None:
        training = training_of(config, stage)
        return trained(method(), config.model, dataset, stage.held_out, training, config.seed, device)
    weights = stored(Path(source), config, dataset.classes)
    with torch.device("meta"):
        expected = config.model.build(dataset.task).state_dict()
    if {name: value.shape for name, value in weights.items()} != {n: value.shape for n, value in expected.items()}:
        raise CheckpointError(
            f"a backbone must fit this run's images {dataset.image_shape}, but {source} was trained on others: "
            "give another"
        )
    return weights


def check(config: RunConfig, classes: Sequence[str]) -> None:
    """Check that what trains a run's first stage is there and fits.

    Args:
        classes: the names of the dataset's classes.

    Raises:
        SettingError: it names neither a method that trains all its stages itself nor a folder.
        CheckpointError: the folder holds no checkpoint, or one of another dataset or model or of other classes.
    """
    for stage in config.method.stages(config.training.epochs):
        if stage.by is not None:
            check_stage(config, stage, classes)


def method_named(source: str) -> type[Method] | None:
    """The method or combination of methods of this name; None if it names none.

    Raises:
        SettingError: the methods cannot be combined.
    """
    return methods.find(source) if all(part in methods for part in source.split(SEPARATOR)) else None


def check_stage(config: RunConfig, stage: Stage, classes: Sequence[str]) -> None:
    """`check` of one stage that something else trains."""
    source = str(stage.by)
    method = method_named(source)
    if method is not None:
        if any(inner.by is not None for inner in method().stages(stage.epochs)):
            raise SettingError(
                f"a backbone must be trained by a method that trains all its stages itself, but got '{source}': "
                "choose a method that has no backbone"
            )
    elif Path(source).is_dir():
        stored(Path(source), config, classes)
    else:
        raise SettingError(
            f"a backbone must be none, the folder of a checkpoint, or one of the methods {', '.join(methods)}, "
            f"or several of them with '{SEPARATOR}' between, but got '{source}'"
        )


def training_of(config: RunConfig, stage: Stage) -> Training:
    """Training settings of a pretraining stage: mostly defaults, so that all trials of a study share its result."""
    own = config.training
    shared = ("precision", "channels_last", "body_rate", "batch_norm", "feature_views", "feature_swaps", "cuda_graphs")
    return Training(epochs=stage.epochs, schedule="cosine", **{name: getattr(own, name) for name in shared})


@functools.lru_cache(maxsize=1)
def trained(
    method: Method,
    model: Model,
    dataset: Dataset,
    unseen: float,
    training: Training,
    seed: int,
    device: torch.device,
) -> Weights:
    """The weights of a classifier after its training; the last result of this process is kept.

    Args:
        unseen: in [0, 1), the share of the training sources that it is not trained on.
    """
    if unseen:
        seen = ~held_out(dataset.train.foregrounds.source, unseen)
        dataset = replace(dataset, train=dataset.train.at(seen.nonzero()[:, 0]))
    trainer = Trainer(method, model, dataset, training, seed, device)
    for _ in track(range(trainer.epochs), "training the backbone", trainer.epochs):
        trainer.train_epoch()
    return {name: value.clone() for name, value in trainer.learner.classifier.state_dict().items()}


def stored(folder: Path, config: RunConfig, classes: Sequence[str]) -> Weights:
    """The weights of a checkpoint's classifier.

    Raises:
        CheckpointError: there is none, or it is of another dataset, of other classes or of another model.
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
    return {
        name.removeprefix(CLASSIFIER): value for name, value in found.weights.items() if name.startswith(CLASSIFIER)
    }
