"""Cost of the flow method, as ratios measured in one run, on one core.

    .venv/bin/python tests/benchmarks/flow.py --data DIR

DIR is what `study data build` wrote. Takes about 4 minutes, most of it for the splines' samples.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from bgbias.data.datasets.imagenet9 import Imagenet9
from bgbias.methods.flow.families import flow_families
from bgbias.methods.flow.method import FlowEmbedding, features_of, sampling_classes, sampling_noise
from bgbias.methods.flow.module import FlowModule
from bgbias.methods.flow.votes import Tally
from bgbias.methods.method import Learner, build_learner, own_of
from bgbias.models.model import Classifier
from bgbias.models.torchvision_classifier import TorchvisionClassifier
from bgbias.optimization import Training
from bgbias.randomness import stream
from bgbias.training import Trainer
from bgbias.types import Task
from study.cluster.process import set_up

SAMPLES, IMAGES, WIDTH, CLASSES = 8192, 64, 64, 10
SIZE, ROUNDS = 96, 3


def main(data: Annotated[Path, typer.Option(help="a folder that `study data build` wrote")]) -> None:
    set_up(1)
    compare_epochs(data.absolute())
    compare_curve()
    show_families()


def compare_epochs(root: Path) -> None:
    """Training on features that were computed once, against running the frozen backbone in every epoch."""
    dataset = Imagenet9(size=SIZE).load(root)
    method = FlowEmbedding(backbone=None)
    settings = Training(epochs=ROUNDS, batch_size=64)
    trainer = Trainer(method, TorchvisionClassifier(), dataset, settings, 0, torch.device("cpu"))
    encoding = timed(lambda: trainer.view)
    index, train, learner = torch.arange(len(dataset.train)), trainer.view.train, trainer.learner

    def cached() -> None:
        for part in index.split(settings.batch_size):
            trainer.step(part, stream(0, "draws"))

    def every_time() -> None:
        for part in index.split(settings.batch_size):
            behind = train.assignment[part]
            with torch.no_grad():
                shown = [dataset.train.batch(part, column).image for column in behind.unbind(1)]
                features = torch.stack([features_of(learner, image) for image in shown], dim=1)
            batch = replace(train.batch(part), image=features)
            terms = method.loss(learner, batch, stream(0, "draws"))
            learner.zero_grad()
            torch.stack(list(terms.values())).sum().backward()
            for optimizer in trainer.optimizers:
                optimizer.step()

    learner.train()
    quick = [timed(cached) for _ in range(ROUNDS)]
    slow = timed(every_time)
    print(f"an epoch of {len(index)} photographs at {SIZE} px with {method.swaps} swaps, resnet18 frozen, one core")
    print(f"  on features computed once  {median(quick):7.2f} s (computing them, evaluation's too: {encoding:.1f} s)")
    print(f"  running the backbone       {slow:7.2f} s")
    print(f"  ratio {slow / median(quick):.0f} (aim: at least 20)")


def built(family: str) -> tuple[FlowEmbedding, Learner]:
    method = FlowEmbedding(family=family, width=WIDTH, max_samples=SAMPLES)
    classes = tuple(map(str, range(CLASSES)))
    task = Task((1, 1, WIDTH), classes, (*classes, "none"), 1)
    return method, build_learner(method, task, Classifier(nn.Flatten(), nn.Linear(WIDTH, CLASSES))).eval()


def compare_curve() -> None:
    """The accuracy at every number of samples, against a vote over the largest number alone."""
    method, learner = built("affine_coupling")
    module = own_of(learner, FlowModule)
    features = torch.randn(IMAGES, WIDTH)
    noise, classes = sampling_noise(SAMPLES, WIDTH), sampling_classes(SAMPLES, CLASSES)

    @torch.no_grad()
    def curve() -> None:
        method.predict(learner, features).by_samples()

    @torch.no_grad()
    def largest() -> None:
        start, tally = module.embed(features), Tally(IMAGES, CLASSES, features.device)
        for block in range(0, SAMPLES, 256):
            part = slice(block, block + 256)
            tally.add(method.sampled_probability(module, start, noise[part], classes[part]))
        tally.logits(method.vote)

    curve()
    pairs = [(timed(curve), timed(largest)) for _ in range(ROUNDS)]
    print(f"votes over up to {SAMPLES} samples x {IMAGES} images x {WIDTH} dimensions, one core, {ROUNDS} rounds")
    whole, alone = (median(times) for times in zip(*pairs, strict=True))
    print(f"  whole curve {whole:6.2f} s, largest alone {alone:6.2f} s")
    print(f"  ratio {median(one / two for one, two in pairs):.2f} (aim: at most 1.2)")


@torch.no_grad()
def show_families() -> None:
    """Sampling alone, by family."""
    print(f"{SAMPLES} samples x {IMAGES} images x {WIDTH} dimensions, one core")
    for family in flow_families:
        method, learner = built(family)
        module = own_of(learner, FlowModule)
        start = module.embed(torch.randn(IMAGES, WIDTH))
        noise, classes = sampling_noise(SAMPLES, WIDTH), sampling_classes(SAMPLES, CLASSES)
        sample = functools.partial(draw_samples, method, module, start, noise, classes)
        print(f"  {family:22s} {timed(sample):7.1f} s")


def draw_samples(method: FlowEmbedding, module: FlowModule, start: Tensor, noise: Tensor, classes: Tensor) -> None:
    for block in range(0, SAMPLES, 256):
        part = slice(block, block + 256)
        method.sampled_probability(module, start, noise[part], classes[part])


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    typer.run(main)
