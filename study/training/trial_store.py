"""One trial's states in the study's storage, from which it continues on any machine.

<trial>/epoch/<n>/    the checkpoint of each epoch that may still be needed
<trial>/tested/<n>/   in its place, once test variants are evaluated at it
<trial>/state/<n>/    history.jsonl and state.pt: with the checkpoints, all that epoch n + 1 needs

A trial starts from its newest state that is complete with all its checkpoints, or from the beginning. So crashes do not
change results: a killed process, a lost node, a full disk or a damaged file.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bgbias.errors import CheckpointError
from bgbias.files import write_checksums
from study.errors import StorageError
from study.record.storage import Storage
from study.scratch import scratch
from study.training.run import Run, read_history

EPOCH, TESTED = "epoch", "tested"
"""Folders of checkpoints."""

WAITS = (1.0, 4.0, 10.0, 20.0)
"""Seconds between attempts to write."""


class TrialStore:
    """Stores and finds one trial's states."""

    def __init__(self, storage: Storage, trial_id: str) -> None:
        self._all, self._storage, self._trial = storage, storage.below(trial_id), trial_id

    def save(self, run: Run) -> None:
        """Store the run after its last epoch with the checkpoints that this one made or changed.

        What neither this state nor the one before needs is deleted.

        Raises:
            StorageError: it cannot be written, after several attempts.
        """
        epoch = len(run.history)
        with scratch() as state:
            run.save(state)
            write_checksums(state)
            for changed in sorted(run.changed):
                name = f"{TESTED if run.is_tested(changed) else EPOCH}/{changed}"
                with_retries(partial(self._storage.put, run.keeper.path(changed), name))
            with_retries(lambda: self._storage.put(state, f"state/{epoch}"))
        self._prune(run)

    def load(self, run: Run) -> None:
        """Load the newest complete state into the run; without one the run is unchanged."""
        for epoch in sorted(self._numbers("state"), reverse=True):
            with scratch() as folder:
                state = folder / "state"
                try:
                    self._storage.get(f"state/{epoch}", state)
                    for kept in run.keeper.kept([report.metrics for report in read_history(state)]):
                        self.fetch(kept, run.keeper.path(kept))
                except CheckpointError:
                    continue
                run.load(state)
                return

    def fetch(self, epoch: int, folder: Path) -> None:
        """Copy the checkpoint of an epoch.

        Raises:
            CheckpointError: it is damaged or not there.
            OSError: the storage cannot be read.
        """
        try:
            self._storage.get(f"{TESTED}/{epoch}", folder)
        except CheckpointError:
            self._storage.get(f"{EPOCH}/{epoch}", folder)

    def delete(self) -> None:
        """Delete everything of the trial."""
        self._all.delete(self._trial)

    def _prune(self, run: Run) -> None:
        history = run.history
        kept = run.keeper.kept(history) | run.keeper.kept(history[:-1])
        tested = {epoch for epoch in run.changed if run.is_tested(epoch)}
        for kind, needed in ((EPOCH, kept - tested), (TESTED, kept)):
            for epoch in self._numbers(kind) - needed:
                self._storage.delete(f"{kind}/{epoch}")
        for epoch in self._numbers("state") - {len(history), len(history) - 1}:
            self._storage.delete(f"state/{epoch}")

    def _numbers(self, kind: str) -> set[int]:
        return {int(name) for name in self._storage.names(kind)}


def with_retries(write: Callable[[], None]) -> None:
    """Write, and try again after each of `WAITS` if that fails, as with a full disk or a lost network.

    Raises:
        StorageError: it failed every time.
    """
    for wait in WAITS:
        try:
            return write()
        except OSError:
            time.sleep(wait)
    try:
        return write()
    except OSError as error:
        reason = f"a checkpoint cannot be written ({error})"
        raise StorageError(f"{reason}: make room or fix the storage, then `study resume` continues") from None
