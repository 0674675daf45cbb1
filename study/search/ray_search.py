"""Ray Tune's searcher and scheduler for a stage.

Ray stores nothing that a study needs: both start from the record in the study's folder.
"""

import json
import math
from collections.abc import Callable
from types import SimpleNamespace
from uuid import uuid4

from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher

from bgbias.config import DATA, RunConfig
from study.cluster.ray_internals import stand_in
from study.record.folder import SEARCH, StudyFolder
from study.record.selection import Trial, best_score
from study.search.proposals import Proposals
from study.search.trainable import EPOCH, MAY_STOP, SCORE, SETTINGS, TRIAL, VALUES, Result
from study.settings import Settings

FACTOR = 3
"""Of the trials at a rung, one in so many continues."""


class RecordedSearch(Searcher):  # type: ignore[misc]
    """Suggests the unfinished trials of the record, then new ones until the stage has all of its trials.

    A trial is recorded before Ray starts it, so that none is lost when the driver is killed. One trial more than run at
    once is suggested ahead, so that no worker waits for its next one.
    """

    def __init__(
        self,
        folder: StudyFolder,
        stage: str,
        space: str,
        proposals: Proposals,
        fixed: Settings,
        room: Callable[[], int],
    ) -> None:
        """Read the stage's record.

        Args:
            folder: the study's.
            stage: `search` or `confirm`.
            space: the space's label.
            proposals: gives the settings of new trials.
            fixed: flat settings that all trials share, in addition to the proposed ones.
            room: gives the number of trials that run at once.
        """
        super().__init__(metric=SCORE, mode="max")
        self._folder, self._stage, self._space = folder, stage, space
        self._proposals, self._fixed, self._room = proposals, fixed, room
        recorded = folder.trials(stage, space)
        proposals.recall(recorded)
        self._waiting = [trial for trial in recorded if not trial.finished]
        self._begun, self._number = len(recorded), folder.next_number()
        self._own: dict[str, str] = {}

    def __getstate__(self) -> dict[str, object]:
        return {}

    def suggest(self, trial_id: str) -> dict[str, str] | str | None:
        """Suggest the next trial, None as long as enough are under way; `trial_id` is Ray's own name for it."""
        if len(self._own) > self._room():
            return None
        if self._waiting:
            trial = self._waiting.pop(0)
            name, settings = trial.trial_id, {**trial.config, DATA: self._fixed.get(DATA)}
        elif self._begun < self._proposals.total:
            name, settings = self._begin()
        else:
            return str(Searcher.FINISHED)
        self._own[trial_id] = name
        return {TRIAL: name, SETTINGS: json.dumps(settings)}

    def on_trial_complete(self, trial_id: str, result: Result | None = None, error: bool = False) -> None:
        """Pass a trial's result to the proposals."""
        name = self._own.pop(trial_id)
        if error or not result:
            self._proposals.fail(name)
        else:
            self._proposals.observe(name, json.loads(str(result[VALUES])), int(result[EPOCH]))

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the study's folder holds everything."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the study's folder holds everything."""

    def _begin(self) -> tuple[str, Settings]:
        name = uuid4().hex[:8]
        proposed = self._proposals.propose(name, self._begun)
        settings = RunConfig.from_flat({**self._fixed, **proposed}).to_flat()
        self._folder.start_trial(name, self._number, self._space, self._stage, settings)
        self._begun, self._number = self._begun + 1, self._number + 1
        return name, settings


class RecordedHalving(ASHAScheduler):  # type: ignore[misc]
    """Successive halving that replays the recorded trials, so that a resumed study makes the same decisions.

    A trial without an evaluation so far, such as one of JTT in its first stage, continues. After a resume, a trial that
    was to stop may have gone on: it stops where it next may.

    rungs: the epochs after which trials are compared
    """

    def __init__(
        self, folder: StudyFolder, stage: str, space: str, objective: str, first: int, factor: int, epochs: int
    ) -> None:
        """Replay the record of a stage.

        Args:
            folder: the study's.
            stage: `search` or `repeat`.
            space: the space's label.
            objective: the metric that trials are compared by.
            first: the first rung; each further one is at `factor` times as many epochs.
            factor: of the trials at a rung, one in so many continues.
            epochs: the most that a trial has.
        """
        super().__init__(
            time_attr=EPOCH, metric=SCORE, mode="max", max_t=epochs, grace_period=first, reduction_factor=factor
        )
        self.rungs = tuple(first * factor**n for n in range(epochs.bit_length()))
        self._stopped: set[str] = set()
        for recorded in folder.trials(stage, space):
            self._recall(recorded, objective)

    def on_trial_add(self, tune_controller: object, trial: RayTrial) -> None:
        """Add a trial under the study's name."""
        super().on_trial_add(tune_controller, own(trial))

    def on_trial_result(self, tune_controller: object, trial: RayTrial, result: Result) -> str:  # noqa: ARG002
        """Decide whether a trial continues."""
        return self._decide(own(trial), result)

    def on_trial_complete(self, tune_controller: object, trial: RayTrial, result: Result) -> None:
        """Record the last result of a trial."""
        super().on_trial_complete(tune_controller, own(trial), result)

    def on_trial_remove(self, tune_controller: object, trial: RayTrial) -> None:
        """Remove a trial."""
        super().on_trial_remove(tune_controller, own(trial))

    def _decide(self, trial: SimpleNamespace, result: Result) -> str:
        if math.isnan(float(result[SCORE])):
            return str(self.CONTINUE)
        decision: str = super().on_trial_result(None, trial, result)
        if decision == self.STOP:
            self._stopped.add(trial.trial_id)
        if trial.trial_id not in self._stopped:
            return decision
        return str(self.STOP if result[MAY_STOP] else self.CONTINUE)

    def _recall(self, recorded: Trial, objective: str) -> None:
        trial = stand_in(recorded.trial_id)
        super().on_trial_add(None, trial)
        for epoch in range(1, len(recorded.history) + 1):
            best = best_score(recorded.history[:epoch], objective)
            self._decide(trial, {EPOCH: epoch, SCORE: best, MAY_STOP: True})


def own(trial: RayTrial) -> SimpleNamespace:
    """Make a stand-in for the trial under the study's own name, which stays the same when Ray is started again."""
    return stand_in(trial.config[TRIAL])


def make_scheduler(
    folder: StudyFolder, space: str, objective: str, epochs: int, every: int, stage: str = SEARCH
) -> RecordedHalving:
    """Make an asynchronous successive-halving scheduler on one objective.

    Of the trials that reached a rung, the worse two thirds stop. The first rung is at a fifth of the epochs, or at
    `every` if trials are evaluated first then; each further rung is at three times as many epochs.

    Source: L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2018 (arXiv 1810.05934).
    """
    first = min(epochs, max(every, epochs // 5))
    return RecordedHalving(folder, stage, space, objective, first, FACTOR, epochs)
