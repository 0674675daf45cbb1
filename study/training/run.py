"""One run: a trainer with its history and its kept checkpoints."""

import functools
import json
import math
from pathlib import Path

import torch

from bgbias import checkpoint
from bgbias.config import RunConfig
from bgbias.data.dataset import Dataset, DatasetSpec
from bgbias.evaluation.accuracy import Predictions
from bgbias.evaluation.evaluate import judge
from bgbias.foundation import classifier_weights
from bgbias.training import Trainer
from study.record.keeper import EpochKeeper
from study.record.selection import Metrics

STATE, HISTORY = "state.pt", "history.json"


class Run:
    """A trainer with its history and its kept checkpoints."""

    def __init__(self, config: RunConfig, dataset: Dataset, device: torch.device, scratch: Path) -> None:
        self.config = config
        foundation = classifier_weights(config, dataset, device)
        self.trainer = Trainer(config.method, config.model, dataset, config.training, config.seed, device, foundation)
        self.keeper = EpochKeeper(scratch)
        self.history: list[Metrics] = []

    def epoch(self) -> Metrics:
        """Train one epoch, judge it if it is one of those to be judged, and keep its checkpoint as long as it is worth
        it."""
        trainer = self.trainer
        metrics, predictions = trainer.train_epoch(), dict[str, Predictions]()
        self.history.append(metrics)
        epoch = len(self.history)
        if self.done or epoch % self.config.evaluation.every == 0:
            chosen = trainer.calibrate()
            with self.config.training.arithmetic(trainer.device):
                predictions, judged = judge(trainer.method, trainer.module, trainer.encoded, self.config.evaluation)
            metrics |= {**chosen, **judged}
        classes, path = trainer.dataset.classes, self.keeper.path(epoch)
        checkpoint.save(path, self.config, classes, epoch, metrics, trainer.module, predictions)
        self.keeper.prune(self.history)
        return metrics

    @property
    def done(self) -> bool:
        """Whether all epochs are trained, or the loss is no longer finite and never will be."""
        losses = [value for name, value in self.history[-1].items() if name.startswith("train/loss/")]
        return len(self.history) >= self.config.training.epochs or not math.isfinite(sum(losses))

    def save(self, folder: Path) -> None:
        """Write what `load` needs beside the kept checkpoints: `history.json` and `state.pt`."""
        (folder / HISTORY).write_text(json.dumps(self.history))
        torch.save(self.trainer.state(), folder / STATE)

    def load(self, folder: Path) -> None:
        """Go on where a saved run stopped; its checkpoints lie in the keeper's folder already.

        Raises:
            CheckpointError: it was trained on other classes than the dataset now has.
        """
        self.history = read_history(folder)
        path = self.keeper.path(len(self.history))
        last, dataset = checkpoint.load(path), self.trainer.dataset
        checkpoint.check_classes(path, last.classes, dataset.classes, dataset.name)
        self.trainer.load_state(last.weights, torch.load(folder / STATE, weights_only=True))


def read_history(folder: Path) -> list[Metrics]:
    """The metrics of every epoch of a saved run."""
    found: list[Metrics] = json.loads((folder / HISTORY).read_text())
    return found


@functools.lru_cache(maxsize=1)
def cached_dataset(spec: DatasetSpec, folder: Path | None) -> Dataset:
    """The dataset, loaded once per process."""
    return spec.load(folder)
