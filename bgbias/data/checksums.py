"""Checksums of pictures and of all else that data are made of, in memory or mapped."""

import dataclasses
import functools
import hashlib

import torch
from torch import Tensor

PLAIN = (str, int, float, bool, type(None))
"""Types that `repr` shows completely."""


def checksum(*items: object) -> str:
    """The SHA-256 of tensors, dataclasses (field by field), tuples (item by item) and plain values, in hexadecimal.

    Raises:
        TypeError: an item is of another kind.
    """
    digest = hashlib.sha256()
    for item in items:
        digest.update(f"{_checksum(item)}\n".encode())
    return digest.hexdigest()


def _checksum(item: object) -> str:
    if isinstance(item, Tensor):
        return _of_tensor(item, item._version)
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        fields = [getattr(item, field.name) for field in dataclasses.fields(item)]
        return f"{type(item).__qualname__} {checksum(*fields)}"
    if isinstance(item, tuple):
        return f"tuple {checksum(*item)}"
    if not isinstance(item, PLAIN):
        raise TypeError(f"a checksum is of tensors, dataclasses, tuples and plain values, not of {type(item).__name__}")
    return repr(item)


@functools.lru_cache(maxsize=64)
def _of_tensor(tensor: Tensor, version: int) -> str:  # noqa: ARG001
    """The SHA-256 of a tensor's type, shape and bytes; computed once as long as it does not change (`version`)."""
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
    if tensor.numel():
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
