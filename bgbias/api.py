"""Datasets, training and evaluation for a notebook, without a study."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bgbias.components import make
from bgbias.config import RunConfig
from bgbias.data.dataset import Dataset
from bgbias.data.datasets import datasets
from bgbias.evaluation.challenge import Verdict, challenge_of
from bgbias.evaluation.evaluate import Result
from bgbias.evaluation.evaluate import evaluate as evaluate_learner
from bgbias.methods.method import Learner
from bgbias.pretraining import check, pretrained_weights
from bgbias.progress import track
from bgbias.training import Trainer, choose_device


@dataclass(frozen=True)
class Trained:
    """A trained learner beside the dataset that it sees, both on one device.

    history: the training metrics of each epoch
    """

    config: RunConfig
    learner: Learner
    dataset: Dataset
    device: torch.device
    history: tuple[Mapping[str, float], ...]


def load(name: str, folder: str | Path | None = None, **options: Any) -> Dataset:
    """Load a dataset by its name, such as `colored-digits`.

    Args:
        folder: of its source files; None for embedded pictures or a download.
        options: the dataset's fields, such as `bias_strength=0.9`.

    Raises:
        UnknownNameError: there is no such dataset.
        SettingError: an option is unknown or out of range.
        DataError: a file is missing or damaged.
    """
    return make(datasets.find(name), options, "dataset").load(Path(folder) if folder else None)


def train(method: str, dataset: Dataset, *, seed: int = 0, device: str = "auto", **settings: Any) -> Trained:
    """Train a method, such as `erm` or `dynamic_replacement+gradient_penalty`, on a loaded dataset.

    Args:
        settings: the method's fields by their names (`p=0.3`); other sections' with two underscores
            (`training__epochs=5`, `model__name="small_cnn"`).

    Raises:
        UnknownNameError: there is no such method or model.
        SettingError: a setting is unknown or out of range.
    """
    flat = {name.replace("__", "/") if "__" in name else f"method/{name}": value for name, value in settings.items()}
    config = RunConfig.from_flat({"dataset/name": dataset.name, "method/name": method, "seed": seed, **flat})
    check(config, dataset.classes)
    chosen = choose_device(device)
    pretrained = partial(pretrained_weights, config, dataset, chosen)
    trainer = Trainer(config.method, config.model, dataset, config.training, seed, chosen, pretrained)
    history = tuple(trainer.train_epoch() for _ in track(range(trainer.epochs), f"training {method}", trainer.epochs))
    trainer.notes()
    return Trained(config, trainer.learner, trainer.view, chosen, history)


def evaluate(trained: Trained) -> dict[str, float]:
    """Every metric of a trained learner on every variant, such as `test/shuffled/accuracy`."""
    return _evaluated(trained).metrics


def challenge(trained: Trained) -> Verdict:
    """The Background Challenge on the test set: which foregrounds are predicted correctly on every background."""
    predictions = {name.removeprefix("test/"): found for name, found in _evaluated(trained).predictions.items()}
    variants = trained.dataset.test
    found = challenge_of(trained.config.method, trained.learner, variants, {n: predictions[n] for n in variants})
    while len(found.undecided):
        found.round()
    return found.verdict()


def _evaluated(trained: Trained) -> Result:
    config = trained.config
    with config.evaluation_arithmetic(trained.device):
        return evaluate_learner(config.method, trained.learner, trained.dataset, config.evaluation.chosen())
