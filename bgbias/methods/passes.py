"""Further forward passes of a batch that leave the classifier as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; then every part is in the mode that it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def fixed_statistics(module: nn.Module) -> Iterator[None]:
    """In training mode, batch normalisation by the batch's statistics that leaves the running ones as they are."""
    tracking = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
    for part in tracking:
        part.track_running_stats = not part.training
    try:
        yield
    finally:
        for part in tracking:
            part.track_running_stats = True
