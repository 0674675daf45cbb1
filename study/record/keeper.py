"""Keeping the best checkpoint for every variant in bounded disk space.

A trial keeps the weights of each epoch that is still the best for some variant, and of its last; a study keeps
those of each space's winners. So a search holds at most (spaces x variants) checkpoints, and (variants + 2) more
for each unfinished trial, however many trials it has; confirmation adds (variants) for each space and seed.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from study.record.epoch import Metrics
from study.record.selection import Row, Trial, best_epochs


def kept_epochs(history: Sequence[Metrics]) -> set[int]:
    """The epochs that are best for some variant, and the last."""
    return {*best_epochs(history).values(), len(history)}


class EpochKeeper:
    """A trial's own checkpoints, in a scratch folder: `<epoch>/` for each epoch worth keeping."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, epoch: int) -> Path:
        """Where an epoch's checkpoint lies, or is to be written."""
        return self.folder / str(epoch)

    def prune(self, history: Sequence[Metrics]) -> None:
        """Delete the epochs that are best for no variant and not the last."""
        kept = {str(epoch) for epoch in kept_epochs(history)}
        for checkpoint in self.folder.iterdir():
            if checkpoint.name.isdecimal() and checkpoint.name not in kept:
                shutil.rmtree(checkpoint)


class StudyKeeper:
    """A study's winners: `<space>/<trial>/<epoch>/` for each that is best for some variant."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, space: str, trial_id: str, epoch: int) -> Path:
        """Where a winner's checkpoint lies."""
        return self.folder / space / trial_id / str(epoch)

    def offer(self, trial: Trial, fetch: Callable[[int, Path], None], rows: Sequence[Row]) -> None:
        """Take what a finished trial wins, and drop what it beats.

        Args:
            fetch: copies the checkpoint of an epoch to a folder, which appears whole or not at all.
            rows: everything of the trial's space that is to be kept now.
        """
        wins = {self.path(*found) for found in {(row.space, row.trial, row.epoch) for row in rows}}
        for epoch in set(best_epochs(trial.history).values()):
            target = self.path(trial.space, trial.trial_id, epoch)
            if target in wins and not target.exists():
                fetch(epoch, target)
        for kept in (self.folder / trial.space).glob("*/*"):
            if kept not in wins:
                shutil.rmtree(kept)
