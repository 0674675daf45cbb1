"""Randomness comes in as an argument, and every stream of it is named by what it is for.

A stream is a function of (seed, purpose, step) alone. So an epoch's numbers do not depend on how many were
drawn before it, and a run that stops after any epoch and resumes draws exactly what it would have drawn.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, purpose: str, step: int = 0) -> int:
    """A 63-bit seed for one purpose at one step."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stream(seed: int, purpose: str, step: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on `device` seeded for one purpose at one step."""
    return torch.Generator(device=device).manual_seed(derive(seed, purpose, step))


@contextmanager
def repeatable() -> Iterator[None]:
    """Compute convolutions on a GPU by algorithms that give the same numbers each time."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before
