"""Share of an ERM trial's time that evaluation takes: test at kept epochs, at every epoch, and in bfloat16.

    .venv/bin/python tests/benchmarks/evaluation.py --mnist DIR --photographs DIR

The first holds MNIST's files, the second is what `study data build --size 64` wrote. Processor time, so that other work
on the machine counts little; one thread. Takes about 6 minutes.
"""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from bgbias.config import RunConfig
from bgbias.evaluation.evaluator import Predictions
from bgbias.metrics import TEST, variants_in
from study.cluster.process import set_up
from study.record.epoch import EpochReport
from study.training.run import Run, cached_dataset

CPU = torch.device("cpu")


class Timed(Run):
    """A run that adds up the seconds it evaluates for."""

    seconds = 0.0

    def _evaluate(self, report: EpochReport, split: str) -> dict[str, Predictions]:
        started = time.process_time()
        found = super()._evaluate(report, split)
        self.seconds += time.process_time() - started
        return found


def main(
    mnist: Annotated[Path, typer.Option(help="folder of MNIST's files")],
    photographs: Annotated[Path, typer.Option(help="a folder that `study data build --size 64` wrote")],
    epochs: Annotated[int, typer.Option(help="of each run")] = 10,
) -> None:
    set_up(1)
    data: dict[str, dict[str, object]] = {
        "colored-mnist": {"dataset/name": "colored-mnist", "data": str(mnist.absolute())},
        "photographs": {"dataset/name": "imagenet9", "dataset/size": 64, "data": str(photographs.absolute())},
    }
    for name, settings in data.items():
        for when, precision in (("kept", "float32"), ("every", "float32"), ("kept", "bfloat16")):
            how = {"evaluation/test": when, "evaluation/precision": precision}
            show(name, {**settings, **how, "method/name": "erm", "training/epochs": epochs})


def show(name: str, settings: dict[str, object]) -> None:
    config = RunConfig.from_flat(settings)
    dataset = cached_dataset(config.dataset, config.data)
    with tempfile.TemporaryDirectory() as scratch:
        run = Timed(config, dataset, CPU, Path(scratch))
        started = time.process_time()
        while not run.done:
            run.epoch()
        total = time.process_time() - started
    tested = sum(bool(variants_in(metrics, TEST)) for metrics in run.history)
    evaluation = config.evaluation
    print(
        f"{name}, {config.model.name()}, {len(run.history)} epochs, {evaluation.precision}, "
        f"evaluation/test={evaluation.test} ({tested} of them tested): "
        f"{run.seconds:.1f} of {total:.1f} s, {100 * run.seconds / total:.0f} %"
    )


if __name__ == "__main__":
    typer.run(main)
