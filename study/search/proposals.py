"""Settings of a stage's trials: Optuna's proposals, or the same settings on several seeds.

The next proposal is a function of the seed and of the recorded trials. A study that was killed therefore continues
with the same proposals.
"""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from bgbias.metrics import lower_is_better
from bgbias.randomness import derive
from study.record.selection import Trial, values_of
from study.search.configurations import Configurations
from study.settings import Settings
from study.space import SearchSpace


class Proposals(Protocol):
    """A stage's trials, one after the other."""

    @property
    def total(self) -> int:
        """The number of trials of the stage."""

    @property
    def searched(self) -> tuple[str, ...]:
        """The names of the settings in which trials differ."""

    def recall(self, trials: Sequence[Trial]) -> None:
        """Read the recorded trials, in their order."""

    def propose(self, trial_id: str, number: int) -> Settings:
        """Propose the searched settings of the stage's trial number `number`, counted from 0."""

    def observe(self, trial_id: str, values: Sequence[float], epochs: int) -> None:
        """Record the end of a trial: its objectives at the epoch best for the first one, and its number of epochs."""

    def fail(self, trial_id: str) -> None:
        """Record a failed trial."""


class Seeds:
    """The same settings on each of several seeds."""

    searched = ("seed",)

    def __init__(self, seeds: Sequence[int]) -> None:
        self._seeds, self.total = seeds, len(seeds)

    def recall(self, trials: Sequence[Trial]) -> None:
        """Do nothing: seeds do not depend on results."""

    def propose(self, trial_id: str, number: int) -> Settings:  # noqa: ARG002
        """Propose the next seed."""
        return {"seed": self._seeds[number]}

    def observe(self, trial_id: str, values: Sequence[float], epochs: int) -> None:
        """Do nothing: seeds do not depend on results."""

    def fail(self, trial_id: str) -> None:
        """Do nothing: seeds do not depend on results."""


class QuickJournal(JournalFileBackend):
    """A journal file for one writer, without syncing to disk: the study's own record is the durable one."""

    def __init__(self, file: Path) -> None:
        super().__init__(str(file))
        self._own = file

    def append_logs(self, logs: list[dict[str, object]]) -> None:
        """Append one JSON line per log."""
        with self._own.open("a") as file:
            file.write("".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs))


class FixedSpaceTPE(optuna.samplers.TPESampler):
    """TPE with the search space given, which saves Optuna's search for it in all trials at every proposal."""

    def __init__(self, space: Mapping[str, BaseDistribution], seed: int, random_trials: int) -> None:
        super().__init__(seed=seed, n_startup_trials=random_trials)
        self._space = dict(sorted(space.items()))

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Return the whole space: all trials of a study have the same settings."""
        return self._space if trial.number else {}


class OptunaProposals:
    """Proposals of TPE, seeded, in a journal file that Optuna and its dashboard can open.

    The first third of the trials, at least 4, are random; TPE proposes the others. A trial that was stopped early
    counts as pruned at its last epoch; with several objectives no trial is pruned, and TPE ranks trials by their
    fronts. A configuration that was proposed before is replaced by an unused one, so a finite space has no more trials
    than configurations.
    """

    def __init__(
        self, space: SearchSpace, objectives: Sequence[str], journal: Path, epochs: int, total: int, seed: int
    ) -> None:
        self._configurations, self._used = Configurations(space.params), set[int]()
        self.total, self.searched = int(min(total, self._configurations.size)), tuple(space.params)
        self._params, self._objectives, self._journal = dict(space.params), objectives, journal
        self._epochs, self._seed, self._random = epochs, seed, max(4, total // 3)
        self._proposed: dict[str, optuna.Trial] = {}

    def recall(self, trials: Sequence[Trial]) -> None:
        """Write the journal from the study's own record, which survives every crash."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        for stale in self._journal.parent.glob(f"{self._journal.name}*"):
            stale.unlink()
        storage = JournalStorage(QuickJournal(self._journal))
        directions = [
            StudyDirection.MINIMIZE if lower_is_better(metric) else StudyDirection.MAXIMIZE
            for metric in self._objectives
        ]
        self._study = optuna.create_study(study_name=self._journal.stem, storage=storage, directions=directions)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._study.set_metric_names(list(self._objectives))
        for trial in trials:
            params = {name: trial.config[name] for name in self.searched}
            self._is_new(params)
            if trial.finished:
                values = values_of(trial.history, self._objectives)
                self._study.add_trial(self._frozen_trial(params, values, len(trial.history)))
            else:
                self._study.enqueue_trial(params)
                self._proposed[trial.trial_id] = self._study.ask(self._params)

    def propose(self, trial_id: str, number: int) -> Settings:
        """Propose TPE's draw with the trial number's own seed, given all recorded trials."""
        seed = derive(self._seed, "search", number) % 2**32
        self._study.sampler = FixedSpaceTPE(self._params, seed, self._random)
        trial = self._study.ask(self._params)
        if not self._is_new(trial.params):
            self._study.tell(trial, state=TrialState.FAIL)
            unused = self._configurations.unused(self._used, seed)
            self._is_new(unused)
            self._study.enqueue_trial(unused)
            trial = self._study.ask(self._params)
        self._proposed[trial_id] = trial
        return dict(trial.params)

    def _is_new(self, params: Settings) -> bool:
        """Mark a configuration as used, and return whether it was unused before."""
        if self._configurations.size == math.inf:
            return True
        number, before = self._configurations.number(params), len(self._used)
        self._used.add(number)
        return len(self._used) > before

    def observe(self, trial_id: str, values: Sequence[float], epochs: int) -> None:
        """Record a trial as complete or pruned, depending on its number of epochs."""
        trial = self._proposed.pop(trial_id)
        if self._pruned(epochs):
            trial.report(values[0], epochs)
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, values)

    def fail(self, trial_id: str) -> None:
        """Record a failed trial, which TPE ignores."""
        self._study.tell(self._proposed.pop(trial_id), state=TrialState.FAIL)

    def _pruned(self, epochs: int) -> bool:
        """Return True if a trial counts as stopped early. Optuna has no pruned trials with several objectives."""
        return epochs < self._epochs and len(self._objectives) == 1

    def _frozen_trial(self, params: Settings, values: Sequence[float], epochs: int) -> FrozenTrial:
        pruned = self._pruned(epochs)
        return create_trial(
            state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
            values=values,
            params=dict(params),
            distributions=self._params,
            intermediate_values={epochs: values[0]} if pruned else {},
        )
