"""One trial: an epoch per step.

Of every number that Ray is given or told it keeps statistics, over and over, in the driver. So all but the few that it
decides by go through it as JSON.
"""

import json
from collections.abc import Sequence

from ray import tune

from bgbias.config import RunConfig
from bgbias.training import choose_device
from study.cluster.process import set_up
from study.record.epoch import EpochReport
from study.record.json_record import JsonRecord, json_record
from study.record.selection import best_score, values_of
from study.record.storage import Storage
from study.scratch import Scratch
from study.training.run import Run, cached_dataset
from study.training.trial_store import TrialStore

ENVIRONMENT, TRIAL, SETTINGS = "environment", "trial", "settings"
"""Keys of what Ray hands to a trial: what all share, as JSON, the trial's own name, and its flat configuration, as
JSON."""
EPOCH, REPORT, SCORE, VALUES = "epoch", "report", "score", "values"
"""Keys of what a trial returns to Ray: how many epochs it has; the last one's report, as JSON; the first objective at
its best epoch so far, higher being better and NaN before it is measured; and all objectives at that epoch, as JSON."""

Result = dict[str, str | float]
"""What a trial returns to Ray after an epoch."""


def result_of(epochs: Sequence[EpochReport], objectives: Sequence[str], *, done: bool) -> Result:
    """What a trial returns to Ray after its last epoch so far."""
    history = [report.metrics for report in epochs]
    return {
        REPORT: epochs[-1].to_json(),
        EPOCH: len(epochs),
        SCORE: best_score(history, objectives[0]),
        VALUES: json.dumps(values_of(history, objectives)),
        "done": done,
    }


@json_record
class Environment(JsonRecord):
    """What all trials of a stage share.

    storage: path or URI for what they go on from; objectives: metrics
    cpus: that each reserves; device: `auto`, `cpu` or `cuda`
    """

    storage: str
    objectives: tuple[str, ...]
    cpus: float
    device: str


class TrialTrainable(tune.Trainable):  # type: ignore[misc]
    """Ray's view of a `Run`. The worker process is reused from trial to trial, its dataset too.

    A trial that ran before, in this process or any other, goes on from what the storage holds of it. It begins by
    reporting its last epoch again: the driver may have been gone before it heard of it.
    """

    def setup(self, config: dict[str, str]) -> None:
        environment = Environment.from_json(config[ENVIRONMENT])
        set_up(max(1, int(environment.cpus)))
        self._objectives = environment.objectives
        run = RunConfig.from_flat(json.loads(config[SETTINGS]))
        dataset = cached_dataset(run.dataset, run.data)
        self._scratch = Scratch()
        self._run = Run(run, dataset, choose_device(environment.device), self._scratch.path, self._objectives)
        self._store = TrialStore(Storage(environment.storage), config[TRIAL])
        self._store.load(self._run)
        self._reported = 0

    def reset_config(self, new_config: dict[str, str]) -> bool:
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> Result:
        run = self._run
        if self._reported == len(run.epochs):
            run.epoch()
            self._store.save(run)
        self._reported = len(run.epochs)
        return result_of(run.epochs, self._objectives, done=run.done)

    def cleanup(self) -> None:
        self._scratch.remove()
