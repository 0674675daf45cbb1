"""Cost of a study's driver, compared with Ray Tune's own loop with the same sampler and no record of anything.

    .venv/bin/python tests/benchmarks/driver.py

Trials do nothing but report, so that all that is left is the driver. The two loops take turns; trials an hour are
counted from the first trial's end to the last's. Takes about 4 minutes on two free cores.
"""

import functools
import logging
import os
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, cast
from unittest import mock

import optuna
import ray
import typer
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from bgbias.files import write_checksums
from bgbias.methods.erm import Erm
from study.cluster.ray_internals import QUIET
from study.record.config import StudyConfig
from study.record.epoch import EpochReport
from study.record.folder import SEARCH, StudyFolder
from study.record.storage import Storage
from study.search.callbacks import Recorder, Watcher
from study.search.proposals import OptunaProposals
from study.search.ray_search import RecordedSearch
from study.search.stage import SearchStage
from study.search.trainable import ENVIRONMENT, EPOCH, SCORE, TRIAL, Environment, result_of
from study.space import SearchSpace
from study.study import reporting, sending
from study.training.run import Run

EPOCHS, WORKERS, METRICS = 3, 2, 20
PENDING = "TUNE_MAX_PENDING_TRIALS_PG"
OBJECTIVES = ("val/original/accuracy",)
SPACE = SearchSpace(method=Erm, params={"training/learning_rate": FloatDistribution(1e-4, 1e-1, log=True)})


class Nothing(tune.Trainable):  # type: ignore[misc]
    """A trial that reports made-up numbers, the last the best, and stores a checkpoint of a few bytes if it is to."""

    def setup(self, config: dict[str, Any]) -> None:
        self._config, self._epochs = config, list[EpochReport]()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        epoch = len(self._epochs) + 1
        value = (time.time_ns() % 997 + epoch * 1000) / 4000
        accuracies = {f"{split}/v{i}/accuracy": value for split in ("val", "test") for i in range(METRICS // 2)}
        own = {f"{split}/original/accuracy": value for split in ("val", "test")}
        self._epochs.append(EpochReport(epoch, {**accuracies, **own}))
        done = epoch == EPOCHS
        if TRIAL not in self._config:
            return {**self._epochs[-1].metrics, EPOCH: epoch, SCORE: value, "done": done}
        if done:
            self._store()
        history = [report.metrics for report in self._epochs]
        run = SimpleNamespace(history=history, reports=self._epochs[-1:], may_stop=True, done=done)
        return result_of(cast(Run, run), OBJECTIVES)

    def _store(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "model.safetensors").write_bytes(b"nothing")
            write_checksums(Path(folder))
            storage = Storage(Environment.from_json(self._config[ENVIRONMENT]).storage)
            storage.put(Path(folder), f"{self._config[TRIAL]}/epoch/{EPOCHS}")


class Timers:
    """Seconds of this thread that calls take, each with the trial it happened at, and when calls ended."""

    def __init__(self) -> None:
        self.spent: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self.ended: dict[str, list[float]] = defaultdict(list)
        self.trial = 0

    def wrap(self, owner: type, name: str, part: str, *, counts: bool = False) -> None:
        """Measure a method from now on. `counts`: a call of it is a trial's end."""
        original: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                self.ended[part].append(time.perf_counter())
                self.spent[part].append((self.trial, self.ended[part][-1] - started))
                self.trial += counts

        setattr(owner, name, timed)

    def per_result(self, part: str, first: int, last: int) -> float:
        """Milliseconds per trial result, over the trials from `first` to `last`."""
        inside = sum(seconds for trial, seconds in self.spent[part] if first <= trial < last)
        return 1000 * inside / ((last - first) * EPOCHS)


def main(
    trials: Annotated[int, typer.Option(min=200, help="trials of each loop")] = 1000,
    rounds: Annotated[int, typer.Option(min=1, help="how often the loops take turns")] = 2,
) -> None:
    os.environ.update(QUIET)
    warnings.simplefilter("ignore")
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    timers = Timers()
    timers.wrap(OptunaSearch, "on_trial_complete", "bare")
    timers.wrap(Recorder, "on_trial_start", "record")
    timers.wrap(Recorder, "on_trial_result", "record")
    timers.wrap(Watcher, "on_trial_result", "show")
    timers.wrap(Watcher, "on_trial_complete", "show")
    timers.wrap(Recorder, "on_trial_complete", "record", counts=True)
    timers.wrap(RecordedSearch, "suggest", "proposing, Optuna's sampling included")
    timers.wrap(RecordedSearch, "on_trial_complete", "study")
    timers.wrap(OptunaProposals, "propose", "Optuna's sampling")
    ray.init("local", num_cpus=WORKERS, log_to_driver=False, include_dashboard=False)
    print(f"{trials} trials of {EPOCHS} results of {METRICS + 2} metrics on {WORKERS} workers")
    print("trials an hour")
    for number in range(1, rounds + 1):
        timers.spent.clear()
        timers.ended.clear()
        timers.trial = 0
        with tempfile.TemporaryDirectory() as scratch:
            bare_loop(trials, Path(scratch))
            study_loop(trials, Path(scratch))
        rates = {name: 3600 * (trials - 1) / (ended[-1] - ended[0]) for name, ended in timers.ended.items()}
        print(f"  round {number}: Ray Tune with Optuna's sampler, nothing recorded {rates['bare']:7.0f},", end="")
        print(f" a study that records, reports and keeps checkpoints {rates['study']:7.0f},", end="")
        print(f" ratio {rates['study'] / rates['bare']:.2f} (aim: at least 0.9)")
    early, late = (50, 150), (trials - 100, trials)
    print(f"milliseconds of the driver per result, trials {early[0]}-{early[1]}, and {late[0]}-{late[1]}")
    parts = [part for part in timers.spent if part not in ("bare", "study")]
    for part in parts:
        print(f"  {part:36s} {timers.per_result(part, *early):6.2f} {timers.per_result(part, *late):6.2f}")
    first, last = (timers.per_result("record", *span) + timers.per_result("show", *span) for span in (early, late))
    print(f"  record and show together: {last / first:.2f} times (aim: at most 1.2)")


def bare_loop(trials: int, scratch: Path) -> None:
    """Ray Tune's loop with the same sampler on the same kind of storage."""
    os.environ.pop(PENDING, None)  # with a study's, Ray would propose all trials before the first ends
    storage = JournalStorage(JournalFileBackend(str(scratch / "bare.journal")))
    sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=trials // 3)
    search = OptunaSearch(space=dict(SPACE.params), metric=SCORE, mode="max", sampler=sampler, storage=storage)
    tune.Tuner(
        tune.with_resources(Nothing, {"cpu": 1}),
        tune_config=tune.TuneConfig(search_alg=search, num_samples=trials, reuse_actors=True),
        run_config=tune.RunConfig(
            storage_path=str(scratch / "bare"),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            verbose=0,
        ),
    ).fit()


def study_loop(trials: int, scratch: Path) -> None:
    """The same trials as a study's search, with MLflow in a file of its own."""
    os.environ[PENDING] = QUIET[PENDING]
    config = StudyConfig(spaces=("erm",), trials=trials, epochs=EPOCHS, early_stopping=False)
    folder = StudyFolder(scratch / "study")
    folder.create(config)
    with mock.patch("study.search.stage.TrialTrainable", Nothing), sending(config, folder), reporting(config, folder):
        SearchStage(config, folder, SEARCH, "erm", OBJECTIVES).search(SPACE.pinned({}, config.dataset))
    assert len(folder.finished(SEARCH)) == trials


if __name__ == "__main__":
    typer.run(main)
