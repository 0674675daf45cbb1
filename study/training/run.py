"""One run: a trainer with its history and its kept checkpoints."""

import functools
from collections.abc import Sequence
from pathlib import Path

import torch

from bgbias import checkpoint
from bgbias.config import RunConfig
from bgbias.data.dataset import Dataset, DatasetSpec
from bgbias.errors import CheckpointError
from bgbias.evaluation.accuracy import Predictions
from bgbias.evaluation.evaluate import judge
from bgbias.foundation import classifier_weights
from bgbias.training import Trainer
from study.record.divergence import divergence
from study.record.epoch import EpochReport, Metrics, history_from_json, history_to_json
from study.record.keeper import EpochKeeper

STATE, HISTORY = "state.pt", "history.jsonl"


class Run:
    """A trainer with its history and its kept checkpoints.

    objectives: metrics whose best epochs are kept, beside those of every variant
    """

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        device: torch.device,
        scratch: Path,
        objectives: Sequence[str] = (),
    ) -> None:
        self.config = config
        foundation = classifier_weights(config, dataset, device)
        self.trainer = Trainer(config.method, config.model, dataset, config.training, config.seed, device, foundation)
        self.keeper = EpochKeeper(scratch, objectives)
        self.epochs: list[EpochReport] = []

    @property
    def history(self) -> list[Metrics]:
        """The metrics of epochs 1, 2, ... in order."""
        return [report.metrics for report in self.epochs]

    def epoch(self) -> EpochReport:
        """Train one epoch, judge it if it is one of those to be judged, and keep its checkpoint as long as it is worth
        it."""
        trainer = self.trainer
        metrics, predictions = trainer.train_epoch(), dict[str, Predictions]()
        epoch = len(self.epochs) + 1
        if self._ends([*self.history, metrics]) or epoch % self.config.evaluation.every == 0:
            chosen = trainer.calibrate()
            with self.config.training.arithmetic(trainer.device):
                predictions, judged = judge(trainer.method, trainer.module, trainer.encoded, self.config.evaluation)
            metrics |= {**chosen, **judged}
        self.epochs.append(EpochReport(epoch, metrics))
        classes, path = trainer.dataset.classes, self.keeper.path(epoch)
        checkpoint.save(path, self.config, classes, epoch, metrics, trainer.module, predictions)
        self.keeper.prune(self.history)
        return self.epochs[-1]

    @property
    def done(self) -> bool:
        """Whether all epochs are trained, or the run has diverged."""
        return bool(self.epochs) and self._ends(self.history)

    def _ends(self, history: Sequence[Metrics]) -> bool:
        return len(history) >= self.config.training.epochs or divergence(history) is not None

    def save(self, folder: Path) -> None:
        """Write what `load` needs beside the kept checkpoints: `history.jsonl` and `state.pt`."""
        (folder / HISTORY).write_text(history_to_json(self.epochs))
        torch.save(self.trainer.state(), folder / STATE)

    def load(self, folder: Path) -> None:
        """Go on where a saved run stopped; its checkpoints lie in the keeper's folder already.

        Raises:
            CheckpointError: it was trained on other classes than the dataset now has.
        """
        self.epochs = read_history(folder)
        path = self.keeper.path(len(self.epochs))
        last, dataset = checkpoint.load(path), self.trainer.dataset
        checkpoint.check_classes(path, last.classes, dataset.classes, dataset.name)
        self.trainer.load_state(last.weights, torch.load(folder / STATE, weights_only=True))


def read_history(folder: Path) -> list[EpochReport]:
    """The report of every epoch of a saved run.

    Raises:
        CheckpointError: an older version saved it.
    """
    try:
        return history_from_json((folder / HISTORY).read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{folder} holds no {HISTORY}: give a run that this version saved") from None


@functools.lru_cache(maxsize=1)
def cached_dataset(spec: DatasetSpec, folder: Path | None) -> Dataset:
    """The dataset, loaded once per process."""
    return spec.load(folder)
