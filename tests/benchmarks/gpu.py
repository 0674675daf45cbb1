"""Small networks on a GPU: an epoch of MNIST with and without replayed steps, and several trials at once.

    .venv/bin/python tests/benchmarks/gpu.py --data DIR

DIR holds MNIST's files. What is compared runs in turns in one run. Takes about two minutes.
"""

import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from bgbias.config import RunConfig
from bgbias.data.dataset import Dataset
from bgbias.evaluation.evaluate import evaluate
from bgbias.models.compact_cnn import CompactCnn
from bgbias.training import Trainer

GPU = torch.device("cuda")
ROUNDS, BATCH_SIZE = 3, 64
SETTINGS: dict[str, dict[str, object]] = {
    "erm": {},
    "dynamic_replacement": {},
    "gradient_penalty": {"method/form": "aggregated", "method/dilation": 0},
}


def main(
    data: Annotated[Path, typer.Option(help="folder of MNIST's files")],
    trials: Annotated[str, typer.Option(help="numbers of trials that train at once, with commas between")] = "1,4,8,16",
) -> None:
    data = data.absolute()
    print(f"{torch.cuda.get_device_name()}: colored-mnist, compact_cnn, batches of {BATCH_SIZE}")
    dataset = configuration(data, "erm").dataset.load(data)
    for method, settings in SETTINGS.items():
        compare_epochs(data, dataset, method, settings)
    compare_trials(data, dataset, [int(k) for k in trials.split(",")])


def configuration(data: Path, method: str, **settings: object) -> RunConfig:
    shared = {"dataset/name": "colored-mnist", "training/batch_size": BATCH_SIZE, "data": str(data)}
    return RunConfig.from_flat({**shared, "method/name": method, **settings})


def compare_epochs(data: Path, dataset: Dataset, method: str, settings: dict[str, object]) -> None:
    """Epochs whose steps are launched, and epochs whose steps are replayed, in turns."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    trainers = {}
    for graphs in seconds:
        config = configuration(data, method, **settings, **{"training/cuda_graphs": graphs, "training/epochs": 99})
        trainers[graphs] = Trainer(config.method, config.model, dataset, config.training, 0, GPU)
        trainers[graphs].train_epoch()
    for _ in range(ROUNDS):
        for graphs, trainer in trainers.items():
            seconds[graphs].append(timed(trainer.train_epoch))
    judging = median(
        timed(lambda: evaluate(trainer.method, trainer.learner, trainer.view, config.evaluation.chosen()))
        for _ in range(ROUNDS)
    )
    launched, replayed = median(seconds[False]), median(seconds[True])
    print(
        f"  {method:20s} an epoch: launched {launched:.2f} s, replayed {replayed:.2f} s "
        f"({launched / replayed:.1f} times; aim: under 1 s); all variants evaluated {judging:.2f} s"
    )


def timed(work: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def compare_trials(data: Path, dataset: Dataset, numbers: list[int]) -> None:
    """ERM on several seeds at once: as processes that share the GPU, and as one population in one process."""
    print("  several trials of ERM at once, images per second of all together:")
    for number in numbers:
        processes, population = processes_rate(data, number), population_rate(dataset, number)
        print(
            f"    {number:3d} trials: processes {processes:10,.0f}, population {population:10,.0f} "
            f"({population / processes:.2f} times; built only at 2)"
        )


def processes_rate(data: Path, number: int) -> float:
    """Images per second of processes that each train on their own, after an epoch to warm up."""
    context = get_context("spawn")
    barrier, seconds = context.Barrier(number), context.Queue()
    started = [
        context.Process(target=train_alone, args=(data, seed, barrier, seconds), daemon=True) for seed in range(number)
    ]
    for process in started:
        process.start()
    slowest = max(seconds.get(timeout=300) for _ in started)
    for process in started:
        process.join()
    return float(number * ROUNDS * len(configuration(data, "erm").dataset.load(data).train) / slowest)


def train_alone(data: Path, seed: int, barrier: Barrier, seconds: "Queue[float]") -> None:
    torch.set_num_threads(1)
    config = configuration(data, "erm")
    trainer = Trainer(config.method, config.model, config.dataset.load(data), config.training, seed, GPU)
    trainer.train_epoch()
    barrier.wait()
    started = time.perf_counter()
    for _ in range(ROUNDS):
        trainer.train_epoch()
    seconds.put(time.perf_counter() - started)


def population_rate(dataset: Dataset, number: int) -> float:
    """Images per second of one process whose step trains all networks together (`vmap`), replayed as a CUDA graph."""
    resident = dataset.to(GPU)
    networks = [plain_network(dataset, seed) for seed in range(number)]
    parameters, _ = stack_module_state(networks)
    values = {name: value.detach().to(GPU).requires_grad_() for name, value in parameters.items()}
    optimizer = torch.optim.Adam(values.values(), lr=1e-3, fused=True, capturable=True)
    skeleton = networks[0].to("meta")

    def loss(weights: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(skeleton, weights, (image,)), label)

    step_all: Callable[..., Any] = vmap(grad_and_value(loss))
    place = torch.zeros(number, BATCH_SIZE, dtype=torch.int64, device=GPU)

    def step() -> None:
        batch = resident.train.batch(place.flatten())
        image = batch.image.unflatten(0, place.shape)
        gradients, _ = step_all(values, image, batch.label.view(place.shape))
        for name, value in values.items():
            value.grad = gradients[name]
        optimizer.step()

    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    n = len(dataset.train)
    steps = n // BATCH_SIZE

    def epoch() -> None:
        order = torch.stack([torch.randperm(n, device=GPU)[: steps * BATCH_SIZE] for _ in range(number)])
        for index in order.split(BATCH_SIZE, dim=1):
            place.copy_(index)
            graph.replay()

    epoch()
    return number * steps * BATCH_SIZE / median(timed(epoch) for _ in range(ROUNDS))


def plain_network(dataset: Dataset, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    classifier = CompactCnn().build(dataset.task)
    return nn.Sequential(classifier.body, classifier.head)


if __name__ == "__main__":
    typer.run(main)
