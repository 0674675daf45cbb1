"""Cost of the library and the study, as ratios measured side by side in one run.

    .venv/bin/python tests/benchmarks/speed.py --data DIR

DIR holds MNIST's files. Takes about 10 minutes on two free cores.
"""

import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from mlflow import MlflowClient
from torch import Tensor

from bgbias.config import RunConfig
from bgbias.data.dataset import Dataset, DatasetSpec
from bgbias.evaluation.evaluate import evaluate
from bgbias.training import Trainer
from study.record.folder import SEARCH, StudyFolder

BATCH_SIZE, STEPS, ROUNDS = 64, 150, 9
TRIALS, WORKERS, EPOCHS = 8, 2, 4
SPACE = """
from optuna.distributions import FloatDistribution
from bgbias.methods.erm import Erm
from study.space import SearchSpace
SPACE = SearchSpace(method=Erm, params={"training/learning_rate": FloatDistribution(1e-3, 2e-3)})
"""
CPU = torch.device("cpu")
FORMS = ("plain", "log_probability", "aggregated")


def main(data: Annotated[Path, typer.Option(help="folder of MNIST's files")]) -> None:
    torch.set_num_threads(1)
    compare_loops(data.absolute())
    with tempfile.TemporaryDirectory() as scratch:
        compare_study(data.absolute(), Path(scratch))


def compare_loops(data: Path) -> None:
    """Some steps of each loop after the other, many times, so that all see the same machine."""
    erm = configuration(data, "erm")
    dataset = erm.dataset.load(data)
    steps = {
        "bare loop": bare_step(erm, dataset),
        "ERM": library_step(erm, dataset),
        "dynamic replacement": library_step(configuration(data, "dynamic_replacement"), dataset),
    }
    for form in FORMS:
        penalised = configuration(data, "gradient_penalty", **{"method/form": form})
        steps[form] = library_step(penalised, dataset)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            seconds[name].append(timed(step))

    def ratio(name: str, other: str) -> float:
        return median(mine / its for mine, its in zip(seconds[name], seconds[other], strict=True))

    print(
        f"training on colored-mnist, {erm.model.name()}, batches of {BATCH_SIZE}, one core, median of {ROUNDS} rounds"
    )
    for name, times in seconds.items():
        print(f"  {name:20s} {1000 * median(times) / STEPS:6.2f} ms a step")
    for name, aim in (("ERM", 1.5), ("dynamic replacement", 1.4)):
        print(f"  {name}: {ratio('bare loop', name):.3f} of the bare loop's images per second (aim: at least {aim})")
    for form in FORMS:
        print(f"  gradient penalty, {form}: {ratio(form, 'bare loop'):.2f} times a bare step (aim: at most 1.5)")


def configuration(data: Path, method: str, **settings: object) -> RunConfig:
    shared = {"dataset/name": "colored-mnist", "training/batch_size": BATCH_SIZE, "data": str(data)}
    return RunConfig.from_flat({**shared, "method/name": method, **settings})


def timed(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(STEPS):
        step()
    return time.perf_counter() - started


def bare_step(config: RunConfig, dataset: Dataset) -> Callable[[], None]:
    """One step as written by hand: biased images composed once into one tensor; eager, NCHW memory, default Adam."""
    everything = dataset.train.batch(torch.arange(len(dataset.train)))
    images, labels = everything.image.contiguous(), everything.label
    model = config.model.build(dataset.task)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batches = endless_batches(len(labels))

    def step() -> None:
        index = next(batches)
        loss = F.cross_entropy(model(images[index]), labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def library_step(config: RunConfig, dataset: Dataset) -> Callable[[], object]:
    trainer = Trainer(config.method, config.model, dataset, config.training, 0, CPU)
    batches, draws = endless_batches(len(dataset.train)), torch.Generator().manual_seed(0)
    return lambda: trainer.step(next(batches), draws)


def endless_batches(n: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    while True:
        yield from torch.randperm(n, generator=generator)[: n - n % BATCH_SIZE].split(BATCH_SIZE)


def compare_study(data: Path, scratch: Path) -> None:
    """The span of a study's trials against the same trials trained in bare processes."""
    (scratch / "bench.py").write_text(SPACE)
    command = [
        *(str(Path(sys.executable).with_name("study")), "run", str(scratch / "bench.py")),
        *("--dataset", "colored-mnist", "--data", str(data), "--no-early-stopping"),
        *("--trials", str(TRIALS), "--epochs", str(EPOCHS), "--max-concurrent", str(WORKERS)),
        *("--output", str(scratch / "study")),
    ]
    launched = time.time()
    subprocess.run(command, check=True, capture_output=True)
    ended = time.time()
    folder = StudyFolder(scratch / "study")
    first, last = span(folder)
    configs = [trial.config for trial in folder.finished(SEARCH)]
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        list(pool.map(warm_up, [configs[0]] * WORKERS))
        started = time.time()
        each = list(pool.map(train_alone, configs))
        alone = time.time() - started
    print(f"{TRIALS} trials of {EPOCHS} epochs on {WORKERS} workers, {sum(each) / TRIALS:.1f} s each in bare processes")
    print(f"  study: {first - launched:.1f} s to start, {last - first:.1f} s of trials, {ended - last:.1f} s to end")
    print(f"  bare processes: {alone:.1f} s")
    print(f"  the study's own cost: {100 * ((last - first) / alone - 1):+.1f} % per worker (aim: at most 10 %)")


def span(folder: StudyFolder) -> tuple[float, float]:
    """Start of the first trial and end of the last one, by MLflow, in seconds since 1970."""
    client = MlflowClient(folder.tracking_uri(folder.read_config()))
    experiment = client.get_experiment_by_name("colored-mnist")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.stage = 'search'")
    return min(run.info.start_time for run in runs) / 1000, max(run.info.end_time for run in runs) / 1000


@functools.lru_cache(maxsize=1)
def read(spec: DatasetSpec, data: Path) -> Dataset:
    return spec.load(data)


def warm_up(flat: dict[str, object]) -> None:
    torch.set_num_threads(1)
    config = RunConfig.from_flat(flat)
    read(config.dataset, config.data)


def train_alone(flat: dict[str, object]) -> float:
    """Seconds to train and evaluate a configuration with the library alone."""
    config = RunConfig.from_flat(flat)
    dataset = read(config.dataset, config.data)
    started = time.perf_counter()
    trainer = Trainer(config.method, config.model, dataset, config.training, config.seed, CPU)
    for _ in range(config.training.epochs):
        trainer.train_epoch()
        evaluate(trainer.method, trainer.learner, trainer.view, config.evaluation.chosen())
    return time.perf_counter() - started


if __name__ == "__main__":
    typer.run(main)
