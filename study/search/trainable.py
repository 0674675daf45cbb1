"""One trial: an epoch per step.

Of every number that Ray is given or told it keeps statistics, over and over, in the driver. So all but the few that it
decides by go through it as JSON.
"""

import json
from collections.abc import Sequence
from typing import Any

from ray import tune

from bgbias.config import RunConfig
from bgbias.metrics import best_accuracy
from bgbias.training import choose_device
from study.cluster.process import set_up
from study.record.selection import Metrics, highest_accuracy
from study.record.storage import Storage
from study.scratch import Scratch
from study.training.run import Run, cached_dataset
from study.training.trial_store import TrialStore

ENVIRONMENT, TRIAL, SETTINGS = "environment", "trial", "settings"
"""Keys of what Ray hands to a trial: what all share, as JSON, the trial's own name, and its flat configuration, as
JSON."""
EPOCH, METRICS = "epoch", "metrics"
"""Keys of what a trial tells Ray: how many epochs it has, and the last one's metrics, as JSON."""


def told(history: Sequence[Metrics], objective: str, *, done: bool) -> dict[str, Any]:
    """What Ray hears of a trial after an epoch; on the objective's variant, the highest validation accuracy so far."""
    best = highest_accuracy(history, objective)
    return {METRICS: json.dumps(history[-1]), EPOCH: len(history), best_accuracy(objective): best, "done": done}


class TrialTrainable(tune.Trainable):  # type: ignore[misc]
    """Ray's view of a `Run`. The worker process is reused from trial to trial, its dataset too.

    A trial that ran before, in this process or any other, goes on from what the storage holds of it. It begins by
    reporting its last epoch again: the driver may have been gone before it heard of it.
    """

    def setup(self, config: dict[str, Any]) -> None:
        environment = json.loads(config[ENVIRONMENT])
        set_up(max(1, int(environment["cpus"])))
        self._objective = environment["objective"]
        run = RunConfig.from_flat(json.loads(config[SETTINGS]))
        dataset = cached_dataset(run.dataset, run.data)
        self._scratch = Scratch()
        self._run = Run(run, dataset, choose_device(environment["device"]), self._scratch.path)
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
        return told(run.history, self._objective, done=run.done)

    def cleanup(self) -> None:
        self._scratch.remove()
