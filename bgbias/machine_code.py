"""Functions over NumPy arrays that numba turns into machine code, which holds no lock."""

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(*, fastmath: bool | set[str]) -> Callable[[F], F]:
    """Compile a function at its first call; the code is kept beside its file or in the user's cache, where it can be.

    Args:
        fastmath: whether sums may be reordered and no number is taken to be NaN or infinite; or names of the freedoms,
            such as `contract` (a product and a sum are rounded once).
    """
    options = {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}

    def compile_it(function: F) -> F:
        try:
            made: F = njit(cache=True, **options)(function)
        except RuntimeError:  # there is no folder to keep it in
            made = njit(**options)(function)
        return made

    return compile_it
