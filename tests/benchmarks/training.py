"""Cost of training on photographs on a device: batches, the bank, and each way of computing.

    .venv/bin/python tests/benchmarks/training.py --data DIR

DIR is what `study data build --size 224` wrote. Everything that is compared runs in turns in one process. On a GPU the
defaults are those of its aims: ResNet-50 at 224 px in batches of 256. On a CPU use `--architecture resnet18 --size 64
--batch-size 32`, one thread.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import typer
from torch import nn

from bgbias.data.dataset import Dataset
from bgbias.data.datasets.imagenet9 import Imagenet9
from bgbias.methods.dynamic_replacement import DynamicReplacement
from bgbias.methods.method import Learner
from bgbias.models.model import Classifier
from bgbias.models.torchvision_classifier import TorchvisionClassifier
from bgbias.optimization import Training
from bgbias.randomness import stream
from bgbias.training import Trainer, choose_device
from bgbias.types import Batch
from study.cluster.process import set_up

METHOD = DynamicReplacement(p=0.8)
WARM_UP, ROUNDS = 3, 7
PLAIN = Training(channels_last=False)
FASTEST = Training(precision="bfloat16")
WAYS = {
    "float32": PLAIN,
    "float32, channels_last": Training(),
    "bfloat16": Training(precision="bfloat16", channels_last=False),
    "bfloat16, channels_last": FASTEST,
    "bfloat16, channels_last, compile": dataclasses.replace(FASTEST, compile=True),
}


class Resident(Trainer):
    """Trains on its first batch again and again."""

    _first: Batch | None = None

    def batch(self, index: torch.Tensor, draws: torch.Generator) -> Batch:
        self._first = self._first or super().batch(index, draws)
        return self._first


def main(
    data: Annotated[Path, typer.Option(help="a folder that `study data build` wrote")],
    architecture: Annotated[str, typer.Option(help="a classifier of torchvision")] = "resnet50",
    size: Annotated[int, typer.Option(help="pixels")] = 224,
    batch_size: Annotated[int, typer.Option(help="pictures")] = 256,
    steps: Annotated[int, typer.Option(help="batches of a round")] = 10,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    compiled: Annotated[
        bool, typer.Option("--compile", help="torch.compile too; its first call takes minutes")
    ] = False,
) -> None:
    set_up(1)
    chosen = choose_device(device)
    named = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else "one CPU core"
    print(f"{named}: {architecture}, {size} px, batches of {batch_size}, medians of {ROUNDS} rounds of {steps} batches")
    dataset = Imagenet9(size=size).load(data.absolute()).to(chosen)
    model = TorchvisionClassifier(architecture=architecture)

    def trainer(kind: type[Trainer], training: Training) -> Trainer:
        return kind(METHOD, model, dataset, training, 0, chosen)

    index = torch.arange(batch_size, device=chosen) % len(dataset.train)
    show_batches(dataset, index, steps)
    banked, resident = trainer(Trainer, FASTEST), trainer(Resident, FASTEST)
    rates = in_turns({"bank": stepping(banked, index), "resident": stepping(resident, index)}, index, steps)
    print(f"  training from the bank      {rates['bank']:8.0f} images/s")
    print(f"  from one resident batch     {rates['resident']:8.0f} images/s")
    print(f"  ratio {rates['bank'] / rates['resident']:.3f} (aim on a GPU: at least 0.97)")
    ways = {name: way for name, way in WAYS.items() if compiled or not way.compile}
    rates = in_turns({name: stepping(trainer(Resident, way), index) for name, way in ways.items()}, index, steps)
    for name, rate in rates.items():
        print(f"  {name:34s} {rate:8.0f} images/s, {rate / rates['float32']:.2f} times float32")


def show_batches(dataset: Dataset, index: torch.Tensor, steps: int) -> None:
    """Finished batches alone: composed, cropped, mirrored, jittered."""
    draws, learner = (
        stream(0, "draws", device=index.device),
        Learner(Classifier(nn.Identity(), nn.Identity()), nn.Module()),
    )

    def finish() -> None:
        examples = dataset.training_examples(index, draws)
        examples.on(METHOD.assign(learner, examples, draws))

    rate = in_turns({"finish": finish}, index, steps)["finish"]
    print(f"  finished batches            {rate:8.0f} images/s (aim on a GPU: at least 20,000)")


def stepping(trainer: Trainer, index: torch.Tensor) -> Callable[[], None]:
    """One training step on the examples at `index`."""
    draws = stream(0, "draws", device=index.device)
    trainer.learner.train()

    def step() -> None:
        trainer.step(index, draws)

    return step


def in_turns(works: dict[str, Callable[[], None]], index: torch.Tensor, steps: int) -> dict[str, float]:
    """Images per second of each work, each round with all of them in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        timed(work, index, WARM_UP)
    for _ in range(ROUNDS):
        for name, work in works.items():
            seconds[name].append(timed(work, index, steps))
    return {name: steps * len(index) / median(times) for name, times in seconds.items()}


def timed(work: Callable[[], None], index: torch.Tensor, times: int) -> float:
    """Seconds until the device has done it so many times."""
    started = time.perf_counter()
    for _ in range(times):
        work()
    if index.is_cuda:
        torch.cuda.synchronize(index.device)
    return time.perf_counter() - started


if __name__ == "__main__":
    typer.run(main)
