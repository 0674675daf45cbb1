"""One stage of a study: the search of one space, or its winner on fresh seeds."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from ray import tune
from rich.markup import escape

from bgbias.config import DATA, RunConfig
from study.cluster.ray_internals import UNLIMITED, own_interrupt
from study.cluster.ray_session import Room
from study.display import command_line, console, counted
from study.errors import StudyInterruptedError, TrialsFailedError
from study.record.config import StudyConfig
from study.record.folder import CONFIRM, StudyFolder
from study.record.selection import same_settings
from study.scratch import scratch
from study.search.callbacks import Recorder, Watcher
from study.search.proposals import OptunaProposals, Proposals, Seeds
from study.search.ray_search import RecordedHalving, RecordedSearch, make_scheduler
from study.search.trainable import ENVIRONMENT, Environment, TrialTrainable
from study.settings import Settings
from study.space import SearchSpace


@dataclass(frozen=True)
class SearchStage:
    """A stage's study, folder and space.

    name: `search`, `confirm` or `repeat`
    space: the space's label; in `confirm` with several objectives, the name of the trial that is trained again
    objectives: the metrics to improve, one or several
    search_seed: seed of Optuna's sampler; None for the study's own seed
    """

    config: StudyConfig
    folder: StudyFolder
    name: str
    space: str
    objectives: tuple[str, ...]
    search_seed: int | None = None

    def search(self, space: SearchSpace) -> None:
        """Search the space. Finished trials are not run again."""
        config, fixed = self.config, {**self.config.base(), "method/name": space.method.name(), **space.fixed}
        if not space.params:
            self._fit(Seeds([config.seed]), fixed)
            return
        journal, epochs, scheduler = self.folder.journal(self.space), config.epochs, None
        if config.early_stopping is not False and len(self.objectives) == 1:
            every = RunConfig.from_flat(fixed).evaluation.every
            scheduler = make_scheduler(self.folder, self.space, self.objectives[0], epochs, every, self.name)
        seed = config.seed if self.search_seed is None else self.search_seed
        proposals = OptunaProposals(space, self.objectives, journal, epochs, config.trials, seed)
        if proposals.total < config.trials:
            console.print(f"{escape(self.space)} has {counted(proposals.total, 'configuration')}, each is tried once")
        self._fit(proposals, fixed, scheduler)

    def confirm(self, settings: Settings) -> None:
        """Train flat settings again on `confirm_seeds` fresh seeds."""
        for trial in self.folder.trials(CONFIRM, self.space):
            if not same_settings(trial.config, settings):  # the search was extended, and another trial won
                self.folder.replace_trial(trial.trial_id)
        first = self.config.seed + 1
        fixed = {**settings, DATA: self.config.base()[DATA]}
        self._fit(Seeds(range(first, first + self.config.confirm_seeds)), fixed)

    def _fit(self, proposals: Proposals, fixed: Settings, scheduler: RecordedHalving | None = None) -> None:
        if len(self.folder.finished(self.name, self.space)) >= proposals.total:
            return
        search = RecordedSearch(self.folder, self.name, self.space, proposals, fixed, Room(self.config))
        resources = {"cpu": self.config.cpus_per_trial, "gpu": self.config.gpus_per_trial}
        with scratch() as folder, warnings.catch_warnings(), own_interrupt():
            warnings.simplefilter("ignore")
            results = tune.Tuner(
                tune.with_resources(TrialTrainable, resources),
                param_space={ENVIRONMENT: self._environment(scheduler.rungs if scheduler else ()).to_json()},
                tune_config=tune.TuneConfig(
                    search_alg=search,
                    scheduler=scheduler,
                    num_samples=proposals.total,
                    max_concurrent_trials=self.config.max_concurrent,
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: str(trial.trial_id),
                ),
                run_config=self._run_config(folder, proposals),
            ).fit()
            self._check_end(proposals.total, results)

    def _environment(self, rungs: tuple[int, ...]) -> Environment:
        config = self.config
        return Environment(self.folder.storage(config), self.objectives, config.cpus_per_trial, config.device, rungs)

    def _run_config(self, folder: Path, proposals: Proposals) -> tune.RunConfig:
        """Configure Ray to store no checkpoints and to restart trials without limit.

        The storage holds the states of trials, and the `Recorder` decides when a trial has failed.
        """
        given = (self.folder.root, self.name, self.space)
        return tune.RunConfig(
            name=f"{self.name}-{self.space}",
            storage_path=str(folder),
            failure_config=tune.FailureConfig(max_failures=UNLIMITED),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            callbacks=[
                Recorder(*given, self.objectives, self.config.mlflow_experiment, self.config.study_id),
                Watcher(*given, self.objectives, proposals.total, proposals.searched),
            ],
            verbose=0,
        )

    def _check_end(self, trials: int, results: tune.ResultGrid) -> None:
        finished = len(self.folder.finished(self.name, self.space))
        if finished + results.num_errors < trials:
            raise StudyInterruptedError(
                f"stopped with {finished} of {trials} trials of {self.space} finished: "
                f"`{command_line('resume', self.folder.root)}` continues"
            )
        if finished == 0:
            reason = str(results.errors[0]).strip().splitlines()[-1]
            raise TrialsFailedError(f"every trial of {self.space} failed; the first said: {reason}")
