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
from bgbias.metrics import TEST, VALIDATION, learned, variants_in
from bgbias.pretraining import check, pretrained_weights
from bgbias.training import Trainer
from study.record.divergence import divergence
from study.record.epoch import EpochReport, Metrics, history_from_json, history_to_json
from study.record.keeper import EpochKeeper

STATE, HISTORY = "state.pt", "history.jsonl"


class Run:
    """A trainer with its history and its kept checkpoints.

    objectives: metrics whose best epochs are kept, beside those of every variant
    rungs: numbers of epochs after which a search may stop the run
    changed: the epochs whose checkpoints the newest epoch made or completed
    """

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        device: torch.device,
        scratch: Path,
        objectives: Sequence[str] = (),
        rungs: Sequence[int] = (),
    ) -> None:
        self.config, self._rungs = config, rungs
        check(config, dataset.classes)
        pretrained = functools.partial(pretrained_weights, config, dataset, device)
        self.trainer = Trainer(config.method, config.model, dataset, config.training, config.seed, device, pretrained)
        self.sources = checkpoint.sources_of(config.model, dataset)
        self.keeper = EpochKeeper(scratch, objectives)
        self.epochs: list[EpochReport] = []
        self.changed: set[int] = set()

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
            if evaluation.test == "every":
                predictions |= self._evaluate(report, TEST)
        classes, path = trainer.dataset.classes, self.keeper.path(report.epoch)
        checkpoint.save(
            path, self.config, classes, report.epoch, report.metrics, trainer.learner, predictions, self.sources
        )
        self.keeper.prune(self.history)
        self.changed = {report.epoch, *self._test()}
        return report

    @property
    def may_stop(self) -> bool:
        """True if the run is done, or a search may stop it after its newest epoch.

        A search stops runs at rungs; one that was first evaluated after the first rung, at any epoch.
        """
        evaluated = [report.epoch for report in self.epochs if variants_in(report.metrics, VALIDATION)]
        late = bool(evaluated and self._rungs) and evaluated[0] > min(self._rungs)
        return self.done or late or len(self.epochs) in self._rungs

    @property
    def reports(self) -> list[EpochReport]:
        """The newest epoch's report, and the earlier ones that it completed, in order."""
        return [self.epochs[epoch - 1] for epoch in sorted({*self._chosen, len(self.epochs)})]

    @property
    def _chosen(self) -> set[int]:
        """The epochs at which test variants are evaluated, where the run may stop.

        These are the best so far for some variant or objective, and of a run that is done, the last.
        """
        if not self.may_stop:
            return set()
        newest = {len(self.epochs)} if self.done and variants_in(self.history[-1], VALIDATION) else set()
        return self.keeper.best(self.history) | newest

    def _test(self) -> list[int]:
        """Evaluate test variants at the chosen epochs where it is due, each with its own weights, and return these."""
        due = [epoch for epoch in sorted(self._chosen) if not self.is_tested(epoch)]
        learner = self.trainer.learner
        newest = {name: value.clone() for name, value in learner.state_dict().items()} if due else None
        for epoch in due:
            report, path = self.epochs[epoch - 1], self.keeper.path(epoch)
            learner.load_state_dict(checkpoint.read_weights(path))
            checkpoint.extend(path, report.metrics, self._evaluate(report, TEST))
        if newest is not None:
            learner.load_state_dict(newest)
        return due

    def is_tested(self, epoch: int) -> bool:
        """Return True if test variants are evaluated at an epoch."""
        return bool(variants_in(self.epochs[epoch - 1].metrics, TEST))

    def _evaluate(self, report: EpochReport, split: str) -> dict[str, Predictions]:
        """Evaluate one split's variants, add the metrics to the epoch's report, and return the predictions."""
        trainer, chosen = self.trainer, self.config.evaluation.chosen()
        with self.config.evaluation_arithmetic(trainer.device):
            result = evaluate(trainer.method, trainer.learner, trainer.view_after(report.epoch), chosen, [split])
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
