"""Keeping the best checkpoints in bounded disk space.

A trial keeps the weights of each epoch that is still the best for some variant or objective, and of its last; a study
keeps those of each space's winners and front. So a search holds at most spaces x (variants + objectives + members of
the front) checkpoints, and (variants + objectives + 2) more for each unfinished trial, however many trials it has;
confirmation adds (variants + objectives) for each configuration and seed.
"""

import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from study.record.epoch import Metrics
from study.record.selection import Kept, Trial, chosen_epochs, kept_epochs


class EpochKeeper:
    """A trial's own checkpoints, in a scratch folder: `<epoch>/` for each epoch worth keeping."""

    def __init__(self, folder: Path, objectives: Sequence[str] = ()) -> None:
        self.folder, self._objectives = folder, objectives

    def path(self, epoch: int) -> Path:
        """Folder of an epoch's checkpoint, which may not exist yet."""
        return self.folder / str(epoch)

    def best(self, history: Sequence[Metrics]) -> set[int]:
        """The epochs that are the best so far for some variant or objective."""
        return chosen_epochs(history, self._objectives)

    def kept(self, history: Sequence[Metrics]) -> set[int]:
        """The epochs worth keeping."""
        return kept_epochs(history, self._objectives)

    def prune(self, history: Sequence[Metrics]) -> None:
        """Delete the epochs that are not worth keeping."""
        kept = {str(epoch) for epoch in self.kept(history)}
        for checkpoint in self.folder.iterdir():
            if checkpoint.name.isdecimal() and checkpoint.name not in kept:
                shutil.rmtree(checkpoint)


class StudyKeeper:
    """A study's selected checkpoints: `<space>/<trial>/<epoch>/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, space: str, trial_id: str, epoch: int) -> Path:
        """Folder of a selected checkpoint."""
        return self.folder / space / trial_id / str(epoch)

    def offer(self, trial: Trial, fetch: Callable[[int, Path], None], kept: Collection[Kept]) -> None:
        """Copy the checkpoints of a finished trial that must be kept, and delete those of its space that need not be.

        Args:
            fetch: copies the checkpoint of an epoch to a folder, completely or not at all.
            kept: every checkpoint of the trial's space that must be kept now.
        """
        paths = {self.path(*found) for found in kept}
        for found in kept:
            target = self.path(*found)
            if found.trial == trial.trial_id and not target.exists():
                fetch(found.epoch, target)
        for present in (self.folder / trial.space).glob("*/*"):
            if present not in paths:
                shutil.rmtree(present)
