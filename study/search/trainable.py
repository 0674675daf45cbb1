"""One trial as a Ray trainable: one epoch per step.

Ray's driver keeps running statistics of every numeric config value and metric. To keep it fast, everything except the
few values it decides by crosses Ray as one JSON string.
"""

import json
from collections.abc import Sequence

from ray import tune

from bgbias.config import RunConfig
from bgbias.training import choose_device
from study.cluster.process import set_up
from study.record.epoch import history_to_json
from study.record.json_record import JsonRecord, json_record
from study.record.selection import best_score, values_of
from study.record.storage import Storage
from study.scratch import Scratch
from study.training.run import Run, cached_dataset
from study.training.trial_store import TrialStore

ENVIRONMENT, TRIAL, SETTINGS = "environment", "trial", "settings"
"""Keys of a trial's Ray config: the environment as JSON, the trial's name, its flat configuration as JSON."""
EPOCH, REPORTS, SCORE, VALUES, MAY_STOP = "epoch", "reports", "score", "values", "may_stop"
"""Keys of a trial's result for Ray: the number of epochs; the new and changed reports as JSON; the first objective at
its best epoch so far (higher is better, NaN before the first evaluation); all objectives at that epoch as JSON; whether
the trial may be stopped now, since test variants are evaluated at its best epochs so far."""

Result = dict[str, str | float]
"""A trial's result for Ray after an epoch."""


def result_of(run: Run, objectives: Sequence[str]) -> Result:
    """Make the result for Ray after a run's last epoch so far."""
    return {
        REPORTS: history_to_json(run.reports),
        EPOCH: len(run.history),
        SCORE: best_score(run.history, objectives[0]),
        VALUES: json.dumps(values_of(run.history, objectives)),
        MAY_STOP: run.may_stop,
        "done": run.done,
    }


@json_record
class Environment(JsonRecord):
    """The settings that all trials of a stage share.

    storage: path or URI of the states that trials continue from
    objectives: names of metrics
    cpus: cores that each trial reserves
    device: `auto`, `cpu` or `cuda`
    rungs: numbers of epochs after which a trial may be stopped
    """

    storage: str
    objectives: tuple[str, ...]
    cpus: float
    device: str
    rungs: tuple[int, ...] = ()


class TrialTrainable(tune.Trainable):  # type: ignore[misc]
    """A `Run` for Ray. The worker process and its dataset are reused from trial to trial.

    A trial that ran before continues from its newest state in the storage, on any machine. It first reports its last
    epoch again, because a driver that was killed may not have received it.
    """

    def setup(self, config: dict[str, str]) -> None:
        """Build the run and load its newest state."""
        environment = Environment.from_json(config[ENVIRONMENT])
        set_up(max(1, int(environment.cpus)))
        self._objectives = environment.objectives
        run = RunConfig.from_flat(json.loads(config[SETTINGS]))
        dataset = cached_dataset(run.dataset, run.data)
        self._scratch = Scratch()
        device = choose_device(environment.device)
        self._run = Run(run, dataset, device, self._scratch.path, self._objectives, environment.rungs)
        self._store = TrialStore(Storage(environment.storage), config[TRIAL])
        self._store.load(self._run)
        self._reported = 0

    def reset_config(self, new_config: dict[str, str]) -> bool:
        """Take up another trial in this process."""
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> Result:
        """Train one epoch and store its state; or report the loaded epoch."""
        run = self._run
        if self._reported == len(run.epochs):
            run.epoch()
            self._store.save(run)
        self._reported = len(run.epochs)
        return result_of(run, self._objectives)

    def cleanup(self) -> None:
        """Delete the run's scratch folder."""
        self._scratch.remove()
