"""Optuna's search as Ray Tune sees it, and the scheduler that stops hopeless trials."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.result import TRAINING_ITERATION
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from bgbias.metrics import best_accuracy
from study.folder import SEARCH, StudyFolder
from study.selection import Trial, highest_accuracy
from study.space import SearchSpace


class HonestOptunaSearch(OptunaSearch):  # type: ignore[misc]
    """Tells Optuna that a trial stopped early was pruned, where Ray would call its last value final."""

    def __init__(self, *, epochs: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._epochs = epochs

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        fresh = not error and trial_id not in self._completed_trials
        if result and fresh and result[TRAINING_ITERATION] < self._epochs:
            trial = self._ot_trials[trial_id]
            trial.report(result[self.metric], result[TRAINING_ITERATION])
            self._ot_study.tell(trial, state=TrialState.PRUNED)
            self._completed_trials.add(trial_id)
        else:
            super().on_trial_complete(trial_id, result, error)


def make_search(
    space: SearchSpace, objective: str, journal: Path, name: str, trials: int, epochs: int, seed: int
) -> HonestOptunaSearch:
    """TPE over the space, seeded, in a journal file that Optuna and its dashboard can open.

    A third of the trials, at least 4, are drawn at random before TPE models them.
    """
    journal.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return HonestOptunaSearch(
        epochs=epochs,
        space=dict(space.params),
        metric=best_accuracy(objective),
        mode="max",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(4, trials // 3)),
        study_name=name,
        storage=JournalStorage(JournalFileBackend(str(journal))),
    )


class RecordedHalving(ASHAScheduler):  # type: ignore[misc]
    """Successive halving that a resumed study takes up where it was, from the trials its folder holds."""

    def __init__(self, folder: StudyFolder, space: str, objective: str, **kwargs: Any) -> None:
        super().__init__(time_attr=TRAINING_ITERATION, metric=best_accuracy(objective), mode="max", **kwargs)
        self._study, self._space, self._objective = folder, space, objective
        self._recalled = False
        self._stopped: set[str] = set()

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        if not self._recalled:
            self._recalled = True
            for recorded in self._study.trials(SEARCH, self._space):
                self._recall(recorded)
        super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(tune_controller, trial, result)
        if decision == self.STOP:
            self._stopped.add(trial.trial_id)
        return self.STOP if trial.trial_id in self._stopped else decision

    def _recall(self, recorded: Trial) -> None:
        stand_in = SimpleNamespace(trial_id=recorded.trial_id)
        super().on_trial_add(None, stand_in)
        for epoch in range(1, len(recorded.history) + 1):
            best = highest_accuracy(recorded.history[:epoch], self._objective)
            self.on_trial_result(None, stand_in, {TRAINING_ITERATION: epoch, self.metric: best})


def make_scheduler(folder: StudyFolder, space: str, objective: str, epochs: int) -> RecordedHalving:
    """Asynchronous successive halving on validation accuracy: after a fifth of the epochs, and again after three
    fifths, the worse two thirds of what has come that far stop.

    Source: L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2018 (arXiv 1810.05934).
    """
    return RecordedHalving(folder, space, objective, max_t=epochs, grace_period=max(1, epochs // 5), reduction_factor=3)
