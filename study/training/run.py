"""One run: a trainer with its history and its kept checkpoints."""

import functools
from collections.abc import Sequence
from pathlib import Path

import torch

from bgbias import checkpoint
from bgbias.config import RunConfig
from bgbias.data.dataset import Dataset, DatasetSpec
from bgbias.errors import CheckpointError
from bgbias.evaluation.evaluate import evaluate
from bgbias.evaluation.evaluator import Predictions
from bgbias.metrics import TEST, VALIDATION, learned
from bgbias.pretraining import check, pretrained_weights
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
        check(config, dataset.classes)
        pretrained = functools.partial(pretrained_weights, config, dataset, device)
        self.trainer = Trainer(config.method, config.model, dataset, config.training, config.seed, device, pretrained)
        self.sources = checkpoint.sources_of(config.model, dataset)
        self.keeper = EpochKeeper(scratch, objectives)
        self.epochs: list[EpochReport] = []

    @property
    def history(self) -> list[Metrics]:
        """The metrics of epochs 1, 2, ... in order."""
        return [report.metrics for report in self.epochs]

    def epoch(self) -> EpochReport:
        """Train one epoch, evaluate it if due, and keep its checkpoint while it is the best for a metric."""
        trainer, evaluation = self.trainer, self.config.evaluation
        report, predictions = EpochReport(trainer.epoch + 1, trainer.train_epoch()), dict[str, Predictions]()
        self.epochs.append(report)
        if trainer.evaluated and (self.done or report.epoch % evaluation.every == 0):
            notes = trainer.notes()
            report.metrics.update({learned(name): value for name, value in notes.values.items()})
            report.tables.update({learned(name): table for name, table in notes.tables.items()})
            predictions |= self._evaluate(report, VALIDATION)
            if evaluation.test == "every" or self.done or report.epoch in self.keeper.best(self.history):
                predictions |= self._evaluate(report, TEST)
        classes, path = trainer.dataset.classes, self.keeper.path(report.epoch)
        checkpoint.save(
            path, self.config, classes, report.epoch, report.metrics, trainer.learner, predictions, self.sources
        )
        self.keeper.prune(self.history)
        return report

    def _evaluate(self, report: EpochReport, split: str) -> dict[str, Predictions]:
        """Evaluate one split's variants, add the metrics to the epoch's report, and return the predictions."""
        trainer, chosen = self.trainer, self.config.evaluation.chosen()
        with self.config.evaluation_arithmetic(trainer.device):
            result = evaluate(trainer.method, trainer.learner, trainer.view, chosen, [split])
        report.metrics.update(result.metrics)
        report.tables.update(result.tables)
        return result.predictions

    @property
    def done(self) -> bool:
        """True if all epochs are trained, or the run has diverged."""
        return self.trainer.done or divergence(self.history) is not None

    def save(self, folder: Path) -> None:
        """Write what `load` needs beside the kept checkpoints: `history.jsonl` and `state.pt`."""
        (folder / HISTORY).write_text(history_to_json(self.epochs))
        torch.save(self.trainer.state(), folder / STATE)

    def load(self, folder: Path) -> None:
        """Continue a saved run; its checkpoints are already in the keeper's folder.

        Raises:
            CheckpointError: it was trained on other classes than the dataset now has.
        """
        self.epochs = read_history(folder)
        path = self.keeper.path(len(self.epochs))
        last, dataset = checkpoint.load(path), self.trainer.dataset
        checkpoint.check_classes(path, last.classes, dataset.classes, dataset.name)
        state = torch.load(folder / STATE, self.trainer.device, weights_only=True)
        self.trainer.load_state(last.weights, state)


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
