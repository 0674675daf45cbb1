"""One trial: an epoch per step, reported under the metrics' own names."""

import json
import tempfile
from pathlib import Path
from typing import Any

from ray import tune

from bgbias.config import RunConfig
from bgbias.metrics import best_accuracy
from bgbias.training import choose_device
from study.process import set_up
from study.run import Run, cached_dataset
from study.selection import highest_accuracy
from study.storage import Storage
from study.trial_store import TrialStore

ENVIRONMENT, TRIAL, SETTINGS = "environment", "trial", "settings"
"""Keys of what Ray hands to a trial: what all share, the trial's own name, and its flat configuration.

The last is JSON: of a number Ray would keep statistics, as of a metric.
"""
EPOCH = "epoch"


class TrialTrainable(tune.Trainable):  # type: ignore[misc]
    """Ray's view of a `Run`. The worker process is reused from trial to trial, its dataset too.

    A trial that ran before, in this process or any other, goes on from what the storage holds of it. It begins by
    reporting its last epoch again: the driver may have been gone before it heard of it.
    """

    def setup(self, config: dict[str, Any]) -> None:
        environment = config[ENVIRONMENT]
        set_up(max(1, int(environment["cpus"])))
        self._objective = environment["objective"]
        run = RunConfig.from_flat(json.loads(config[SETTINGS]))
        dataset = cached_dataset(run.dataset, run.data)
        self._scratch = tempfile.TemporaryDirectory(prefix="bgbias-trial-")
        self._run = Run(run, dataset, choose_device(environment["device"]), Path(self._scratch.name))
        self._store = TrialStore(Storage(environment["storage"]), config[TRIAL])
        self._store.load(self._run)
        self._reported = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        run = self._run
        if self._reported == len(run.history):
            run.epoch()
            self._store.save(run)
        self._reported = len(run.history)
        best = highest_accuracy(run.history, self._objective)
        return {**run.history[-1], EPOCH: len(run.history), best_accuracy(self._objective): best, "done": run.done}

    def cleanup(self) -> None:
        self._scratch.cleanup()
