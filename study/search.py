"""Optuna's search as Ray Tune sees it, and the scheduler that stops hopeless trials."""

from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.result import TRAINING_ITERATION
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from bgbias.metrics import best_accuracy
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


def make_scheduler(objective: str, epochs: int) -> ASHAScheduler:
    """Asynchronous successive halving on validation accuracy: after a fifth of the epochs, and again after three
    fifths, the worse two thirds of what has come that far stop.

    Source: L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2018 (arXiv 1810.05934).
    """
    return ASHAScheduler(
        time_attr=TRAINING_ITERATION,
        metric=best_accuracy(objective),
        mode="max",
        max_t=epochs,
        grace_period=max(1, epochs // 5),
        reduction_factor=3,
    )
