"""Training steps on a GPU, replayed from a recording (a CUDA graph) instead of launched kernel by kernel.

A step of a small network consists of hundreds of kernels, each of which takes longer to launch than to run.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Generator, Tensor
from torch.optim import Optimizer

from bgbias.models.passes import Passes

WARM_UP = 3
"""Number of steps before one is recorded: they make the optimiser's state and fill the caches."""
FEWEST = 20
"""Smallest number of batches of one size for which a recording is worth its time."""

Step = Callable[[Tensor], None]
"""Takes a training step on the examples at an index, [B] int64."""


def take_steps(
    step: Step, batches: Sequence[Tensor], draws: Generator, optimizers: Sequence[Optimizer], passes: Passes
) -> None:
    """Take a step on each batch, most of them replayed, with the same numbers as one by one.

    Steps are taken one by one where the batches are few, are not on a GPU, or where a step waits for the GPU.

    Args:
        batches: [B] int64 each, the last may be smaller.
        draws: the generator that the steps draw from, beside torch's own.
        optimizers: all that the steps use.
        passes: counts the examples that pass through the network.
    """
    whole = [index for index in batches if len(index) == len(batches[0])]
    if len(whole) < FEWEST or not batches[0].is_cuda:
        take_one_by_one(step, batches)
        return
    take_one_by_one(step, whole[: WARM_UP - 1])
    if waits_for_device(step, whole[WARM_UP - 1]):
        take_one_by_one(step, batches[WARM_UP:])
        return
    place = torch.empty_like(whole[0])
    forward, backward = passes.forward, passes.backward
    graph = record(lambda: step(place), draws, optimizers)
    forward, backward = passes.forward - forward, passes.backward - backward
    for index in whole[WARM_UP:]:
        place.copy_(index)
        graph.replay()
    passes.forward += forward * (len(whole) - WARM_UP - 1)
    passes.backward += backward * (len(whole) - WARM_UP - 1)
    take_one_by_one(step, batches[len(whole) :])


def take_one_by_one(step: Step, batches: Sequence[Tensor]) -> None:
    """Take a step on each batch."""
    for index in batches:
        step(index)


def waits_for_device(step: Step, index: Tensor) -> bool:
    """Take a step, and return whether the host had to wait in it for results of the GPU."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step(index)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return any("synchronizing CUDA operation" in str(warning.message) for warning in caught)


def record(work: Callable[[], None], draws: Generator, optimizers: Sequence[Optimizer]) -> torch.cuda.CUDAGraph:
    """Record the kernels of some work without running them; each replay draws on from `draws` and torch's generator."""
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(draws)
    with capturable(optimizers), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        work()
    return graph


@contextmanager
def capturable(optimizers: Sequence[Optimizer]) -> Iterator[None]:
    """Let optimisers be recorded, with learning rates as they are now."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups if "capturable" in group]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in groups:
            group["capturable"] = False
