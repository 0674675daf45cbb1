"""One Ray Tune experiment of a study: the search of one space, or its winner on fresh seeds."""

import json
import logging
import os
import signal
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune

from bgbias.errors import SettingError
from study.callbacks import Recorder, Watcher
from study.config import StudyConfig
from study.errors import StudyInterruptedError, TrialsFailedError
from study.folder import SEARCH, StudyFolder
from study.search import make_scheduler, make_search
from study.selection import winner
from study.space import SearchSpace
from study.trainable import ENVIRONMENT, TrialTrainable

MAX_FAILURES = 2
KNOCK_SECONDS = 5.0
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}


@contextmanager
def ray_session(config: StudyConfig) -> Iterator[None]:
    """Ray, started here or joined at an address, for as long as the study runs.

    Raises:
        SettingError: the cluster cannot be reached, or has no room for a single trial.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    try:
        _knock(config.address)
        ray.init(
            address=config.address or "local",
            include_dashboard=None if config.address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        if config.address is None:
            raise SettingError(f"Ray could not be started here ({reason}): free memory or processes") from None
        raise SettingError(
            f"no Ray cluster at '{config.address}' ({reason}): start one or leave --address out"
        ) from None
    try:
        check_room(config)
        yield
    finally:
        ray.shutdown()


def _knock(address: str | None) -> None:
    """Whether anything answers at `HOST:PORT` or `ray://HOST:PORT`; Ray itself would wait for minutes.

    Raises:
        OSError: nothing does.
    """
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


def check_room(config: StudyConfig) -> None:
    """Whether a trial fits what is free now, on a single machine.

    Raises:
        SettingError: it does not.
    """
    free = ray.available_resources()
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for resource, asked in (("CPU", config.cpus_per_trial), ("GPU", config.gpus_per_trial)):
        largest = max((machine.get(resource, 0.0) for machine in machines), default=0.0)
        room = min(largest, free.get(resource, 0.0))
        if asked > room:
            raise SettingError(
                f"a trial asks for {asked:g} {resource}s but Ray has {room:g} free on one machine: "
                f"lower --{resource.lower()}s-per-trial or join a larger cluster with --address"
            )


@dataclass(frozen=True)
class Stage:
    """
    name: `search` or `confirm`; space: the space's label
    objective: the variant whose validation accuracy is maximised
    """

    config: StudyConfig
    folder: StudyFolder
    name: str
    space: str
    objective: str

    def search(self, space: SearchSpace) -> None:
        """Search the space; already finished trials are not run again."""
        config, fixed = self.config, {"method/name": space.method.name(), **space.fixed}
        if not space.params:
            self._fit({"seed": tune.grid_search([config.seed])}, fixed, trials=1)
            return
        journal, trials, epochs = self.folder.journal(self.space), config.trials, config.epochs
        scheduler = make_scheduler(self.folder, self.space, self.objective, epochs) if config.early_stopping else None
        self._fit(
            {},
            fixed,
            trials=trials,
            search_alg=make_search(space, self.objective, journal, self.space, trials, epochs, config.seed),
            scheduler=scheduler,
            num_samples=trials,
        )

    def confirm(self) -> None:
        """Train the search's winner on the objective, if there is one, again on `confirm_seeds` fresh seeds."""
        best = winner(self.folder.finished(SEARCH, self.space), self.objective)
        if best is None:
            return
        first = self.config.seed + 1
        seeds = list(range(first, first + self.config.confirm_seeds))
        self._fit({"seed": tune.grid_search(seeds)}, best.config, trials=len(seeds))

    def _fit(self, searched: dict[str, Any], settings: dict[str, Any], trials: int, **tuning: Any) -> None:
        if len(self.folder.finished(self.name, self.space)) >= trials:
            return
        experiment = self.folder.ray / f"{self.name}-{self.space}"
        resources = {"cpu": self.config.cpus_per_trial, "gpu": self.config.gpus_per_trial}
        trainable = tune.with_resources(TrialTrainable, resources)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if can_restore(experiment):
                tuner = tune.Tuner.restore(str(experiment), trainable=trainable, resume_errored=True)
            else:
                tuner = tune.Tuner(
                    trainable,
                    param_space={ENVIRONMENT: self._environment(settings), **searched},
                    tune_config=tune.TuneConfig(
                        max_concurrent_trials=self.config.max_concurrent, reuse_actors=True, **tuning
                    ),
                    run_config=self._run_config(trials),
                )
            with own_interrupt():
                results = tuner.fit()
        self._check_end(trials, results)

    def _environment(self, settings: dict[str, Any]) -> dict[str, Any]:
        config = self.config
        return {
            "settings": {**config.base(), **settings},
            "objective": self.objective,
            "cpus": config.cpus_per_trial,
            "device": config.device,
        }

    def _run_config(self, trials: int) -> tune.RunConfig:
        return tune.RunConfig(
            name=f"{self.name}-{self.space}",
            storage_path=str(self.folder.ray),
            failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1, checkpoint_frequency=1, checkpoint_at_end=False),
            callbacks=[
                Recorder(self.folder.root, self.name, self.space, self.config.mlflow_experiment, self.config.study_id),
                Watcher(self.folder.root, self.name, self.space, self.objective, trials),
            ],
            verbose=0,
        )

    def _check_end(self, trials: int, results: tune.ResultGrid) -> None:
        finished = len(self.folder.finished(self.name, self.space))
        if finished + results.num_errors < trials:
            raise StudyInterruptedError(
                f"stopped with {finished} of {trials} trials of {self.space} finished: "
                f"`study resume {self.folder.root}` goes on"
            )
        if finished == 0:
            reason = str(results.errors[0]).strip().splitlines()[-1]
            raise TrialsFailedError(f"every trial of {self.space} failed; the first said: {reason}")


def can_restore(experiment: Path) -> bool:
    """Whether Ray left a whole record of at least one trial; without one it would go on with an empty experiment."""
    states = sorted(experiment.glob("experiment_state-*.json"), key=lambda file: file.stat().st_mtime)
    try:
        return bool(states) and bool(json.loads(states[-1].read_text())["trial_data"])
    except (ValueError, KeyError):
        return False


@contextmanager
def own_interrupt() -> Iterator[None]:
    """Put Ctrl-C's handler back, which Ray replaces for good."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
