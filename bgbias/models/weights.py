"""Weights that were trained elsewhere: files of tensors by name, and what loading them reports."""

import functools
import hashlib
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bgbias import files
from bgbias.errors import DataError, listed

COUNTER = "num_batches_tracked"
"""Batch normalisation's counter of batches, which older files lack and which changes no prediction."""
WRAPPERS = ("_orig_mod.", "module.")
"""Prefixes that torch.compile and data-parallel training add to the names."""


def read_weights(file: Path) -> dict[str, Tensor]:
    """A file of weights alone, half precision as float32; nothing is unpickled but tensors.

    Raises:
        DataError: it is missing or holds something else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch's, about a TorchScript file
            found = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        why = "it is damaged, or holds more than weights"  # torch's own message advises to unpickle it
        if isinstance(error, OSError | SafetensorError):
            why = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"weights {file} cannot be read ({why}): give a .safetensors or .pt file that holds a model's state_dict"
        ) from None
    found = found.get("state_dict", found) if isinstance(found, dict) else {}
    if not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise DataError(f"{file} holds no weights by name: give a file that holds a model's state_dict alone")
    return {bare_name(name): value.float() if value.is_floating_point() else value for name, value in found.items()}


def bare_name(name: str) -> str:
    """A weight's name without what wrappers put before it."""
    for wrapper in WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def load_fitting(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    last: nn.Module,
    where: str,
    architecture: str,
    *,
    all_layers: bool = False,
) -> None:
    """Load all weights but those of a last layer of another size or of none, which stays as it is.

    Args:
        weights: by the names that the module's own have; batch normalisation's counters may be missing.
        last: the module's last layer; one without weights counts as the layer whose names come last.
        where, architecture: what the weights and the module are called in errors.
        all_layers: whether the last layer's weights must fit too.

    Raises:
        DataError: names are missing or unknown, or other layers' shapes differ, or the last layer's where it must fit.
    """
    own = module.state_dict()
    counters = {name: value for name, value in own.items() if name.endswith(COUNTER) and name not in weights}
    names = [name for name, value in module.named_parameters() if any(value is one for one in last.parameters())]
    kept = {name: own[name] for name in names or list(own)[-2:]}
    fits = all(name in weights and weights[name].shape == value.shape for name, value in kept.items())
    fitting = {**weights, **counters, **({} if fits else kept)}
    if found := difference(own, fitting):
        raise DataError(f"weights {where} do not fit {architecture} ({found}): set model/architecture")
    if all_layers and not fits:
        found = difference(kept, {name: weights[name] for name in kept if name in weights})
        raise DataError(
            f"a model that was trained elsewhere keeps its last layer, but that of weights {where} does not fit the "
            f"data's classes ({found}): give data of the classes that it was trained on, or set model/scores=imagenet"
        )
    module.load_state_dict(fitting)


def difference(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """Describe how given weights differ from a module's own in name or shape; empty if they do not.

    For instance `missing conv.weight`.
    """
    shapes = [
        f"{name} {tuple(given[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    parts = {
        "missing": [name for name in own if name not in given],
        "unknown": [name for name in given if name not in own],
        "of another shape": shapes,
    }
    return "; ".join(f"{what} {listed(names)}" for what, names in parts.items() if names)


def file_checksum(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; computed once for each state of the file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        found = file.stat()
        return _file_checksum(file, found.st_size, found.st_mtime_ns)
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}): give a file that is there") from None


@functools.lru_cache(maxsize=16)
def _file_checksum(file: Path, size: int, changed: int) -> str:  # noqa: ARG001
    return files.sha256(file)


def tensors_checksum(weights: Mapping[str, Tensor]) -> str:
    """The SHA-256 of tensors by name, in hexadecimal: of names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
