"""One trial: an epoch per step, reported under the metrics' own names."""

import functools
import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.tune.result import RESULT_DUPLICATE
from ray.tune.utils import flatten_dict

from bgbias import checkpoint
from bgbias.config import RunConfig
from bgbias.data.dataset import Dataset, DatasetSpec
from bgbias.evaluation.evaluate import judge
from bgbias.foundation import classifier_weights
from bgbias.metrics import best_accuracy
from bgbias.training import Trainer, choose_device
from study.keeper import EpochKeeper
from study.process import set_up
from study.selection import Metrics, highest_accuracy

STATE, HISTORY, EPOCHS = "state.pt", "history.json", "epochs"
ENVIRONMENT = "environment"
"""The key of a trial's configuration under which everything but hyper-parameters is handed over."""


class Run:
    """A trainer with its history and its kept checkpoints; saves and loads all three."""

    def __init__(self, config: RunConfig, dataset: Dataset, device: torch.device, scratch: Path) -> None:
        self.config = config
        foundation = classifier_weights(config, dataset, device)
        self.trainer = Trainer(config.method, config.model, dataset, config.training, config.seed, device, foundation)
        self.keeper = EpochKeeper(scratch)
        self.history: list[Metrics] = []

    def epoch(self) -> Metrics:
        """Train one epoch, evaluate it, and keep its checkpoint as long as it is worth it."""
        trainer = self.trainer
        trained = trainer.train_epoch()
        with self.config.training.arithmetic(trainer.device):
            predictions, judged = judge(trainer.method, trainer.module, trainer.encoded, self.config.evaluation)
        metrics = {**trained, **judged}
        self.history.append(metrics)
        epoch = len(self.history)
        checkpoint.save(self.keeper.path(epoch), self.config, epoch, metrics, self.trainer.module, predictions)
        self.keeper.prune(self.history)
        return metrics

    @property
    def done(self) -> bool:
        """Whether all epochs are trained, or the loss is no longer finite and never will be."""
        losses = [value for name, value in self.history[-1].items() if name.startswith("train/loss/")]
        return len(self.history) >= self.config.training.epochs or not math.isfinite(sum(losses))

    def save(self, folder: Path) -> None:
        """Write everything that `load` needs."""
        shutil.copytree(self.keeper.folder, folder / EPOCHS)
        (folder / HISTORY).write_text(json.dumps(self.history))
        torch.save(self.trainer.state(), folder / STATE)

    def load(self, folder: Path) -> None:
        """Go on where a saved run stopped."""
        shutil.rmtree(self.keeper.folder)
        shutil.copytree(folder / EPOCHS, self.keeper.folder)
        self.history = json.loads((folder / HISTORY).read_text())
        last = checkpoint.load(self.keeper.path(len(self.history)))
        self.trainer.load_state(last.weights, torch.load(folder / STATE, weights_only=True))


class TrialTrainable(tune.Trainable):  # type: ignore[misc]
    """Ray's view of a `Run`. The worker process is reused from trial to trial, its dataset too."""

    def setup(self, config: dict[str, Any]) -> None:
        environment = config[ENVIRONMENT]
        set_up(max(1, int(environment["cpus"])))
        self._objective = environment["objective"]
        run = run_config(config)
        dataset = cached_dataset(run.dataset, run.data)
        self._scratch = tempfile.TemporaryDirectory(prefix="bgbias-trial-")
        self._run = Run(run, dataset, choose_device(environment["device"]), Path(self._scratch.name))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        if self._run.history and self._run.done:
            return {RESULT_DUPLICATE: True, "done": True}  # restored after its last epoch
        metrics = self._run.epoch()
        best = highest_accuracy(self._run.history, self._objective)
        return {**metrics, best_accuracy(self._objective): best, "done": self._run.done}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        self._run.save(Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        self._run.load(Path(checkpoint_dir))

    def cleanup(self) -> None:
        self._scratch.cleanup()


def run_config(config: dict[str, Any]) -> RunConfig:
    """A Ray trial's configuration, typed: what all trials share, then what the search suggested."""
    suggested = {key: value for key, value in config.items() if key != ENVIRONMENT}
    return RunConfig.from_flat({**config[ENVIRONMENT]["settings"], **flatten_dict(suggested)})


@functools.lru_cache(maxsize=1)
def cached_dataset(spec: DatasetSpec, folder: Path | None) -> Dataset:
    """The dataset, loaded once per process."""
    return spec.load(folder)
