"""What a stage's trials are: Optuna's suggestions, or the same settings on several seeds.

What is proposed next is a function of the seed and of what has been learned so far. So a study that was killed goes on
with the same proposals, from nothing but its record of trials.
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
from study.search.grid import Grid
from study.settings import Settings
from study.space import SearchSpace


class Proposals(Protocol):
    """A stage's trials, one after the other."""

    @property
    def total(self) -> int:
        """How many trials the stage has."""

    @property
    def searched(self) -> tuple[str, ...]:
        """The names of the settings in which trials differ."""

    def recall(self, trials: Sequence[Trial]) -> None:
        """Take up what was proposed before, in its order, and what is known of it."""

    def propose(self, trial_id: str, number: int) -> Settings:
        """The searched settings of the stage's trial of this number, counted from 0."""

    def observe(self, trial_id: str, values: Sequence[float], epochs: int) -> None:
        """How a trial ended: its objectives at the epoch that is best for the first, and after how many epochs."""

    def fail(self, trial_id: str) -> None:
        """A trial failed."""


class Seeds:
    """The same settings on each of several seeds."""

    searched = ("seed",)

    def __init__(self, seeds: Sequence[int]) -> None:
        self._seeds, self.total = seeds, len(seeds)

    def recall(self, trials: Sequence[Trial]) -> None:
        """Nothing is learned."""

    def propose(self, trial_id: str, number: int) -> Settings:  # noqa: ARG002
        """The next seed."""
        return {"seed": self._seeds[number]}

    def observe(self, trial_id: str, values: Sequence[float], epochs: int) -> None:
        """Nothing is learned."""

    def fail(self, trial_id: str) -> None:
        """Nothing is learned."""


class QuickJournal(JournalFileBackend):
    """A journal of one writer that does not wait for the disk: the study's own record is what must be whole."""

    def __init__(self, file: Path) -> None:
        super().__init__(str(file))
        self._own = file

    def append_logs(self, logs: list[dict[str, object]]) -> None:
        """Add lines."""
        with self._own.open("a") as file:
            file.write("".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs))


class FixedSpaceTPE(optuna.samplers.TPESampler):
    """TPE with the search space given, which saves Optuna's search for it in all trials at every proposal."""

    def __init__(self, space: Mapping[str, BaseDistribution], seed: int, random_trials: int) -> None:
        super().__init__(seed=seed, n_startup_trials=random_trials)
        self._space = dict(sorted(space.items()))

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """The whole space: a study's trials all have the same settings."""
        return self._space if trial.number else {}


class OptunaProposals:
    """TPE over a space, seeded, in a journal file that Optuna and its dashboard can open.

    A third of the trials, at least 4, are drawn at random before TPE models them. A trial that was stopped early is
    told as pruned, at its last epoch; with several objectives none is, and TPE ranks trials by their fronts. A
    configuration that was proposed before is replaced by one that was not, so a space has no more trials than
    configurations.
    """

    def __init__(
        self, space: SearchSpace, objectives: Sequence[str], journal: Path, epochs: int, total: int, seed: int
    ) -> None:
        self._grid, self._used = Grid(space.params), set[int]()
        self.total, self.searched = int(min(total, self._grid.size)), tuple(space.params)
        self._params, self._objectives, self._journal = dict(space.params), objectives, journal
        self._epochs, self._seed, self._random = epochs, seed, max(4, total // 3)
        self._proposed: dict[str, optuna.Trial] = {}

    def recall(self, trials: Sequence[Trial]) -> None:
        """Write the journal anew from the study's own record, which alone is sure to be whole."""
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
        """What TPE draws with the number's own seed, after all that is known."""
        seed = derive(self._seed, "search", number) % 2**32
        self._study.sampler = FixedSpaceTPE(self._params, seed, self._random)
        trial = self._study.ask(self._params)
        if not self._is_new(trial.params):
            self._study.tell(trial, state=TrialState.FAIL)
            unused = self._grid.unused(self._used, seed)
            self._is_new(unused)
            self._study.enqueue_trial(unused)
            trial = self._study.ask(self._params)
        self._proposed[trial_id] = trial
        return dict(trial.params)

    def _is_new(self, params: Settings) -> bool:
        """Note a configuration; whether it was not proposed before."""
        if self._grid.size == math.inf:
            return True
        number, before = self._grid.number(params), len(self._used)
        self._used.add(number)
        return len(self._used) > before

    def observe(self, trial_id: str, values: Sequence[float], epochs: int) -> None:
        """Complete or pruned, by how many epochs there were."""
        trial = self._proposed.pop(trial_id)
        if self._pruned(epochs):
            trial.report(values[0], epochs)
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, values)

    def fail(self, trial_id: str) -> None:
        """A failure, which TPE leaves out."""
        self._study.tell(self._proposed.pop(trial_id), state=TrialState.FAIL)

    def _pruned(self, epochs: int) -> bool:
        """Whether a trial counts as stopped early. Optuna knows no such trials of several objectives."""
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
