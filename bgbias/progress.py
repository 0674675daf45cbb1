"""Progress of long work: the library counts, and the caller decides what to show."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")
Tracker = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""Takes the items of some work, what the work is, and how many items there will be; gives the same items."""


def _silent(items: Iterable[T], what: str, total: int) -> Iterable[T]:  # noqa: ARG001
    return items


_tracker: ContextVar[Tracker] = ContextVar("tracker", default=_silent)


def track(items: Iterable[T], what: str, total: int) -> Iterable[T]:
    """The same items, counted by the tracker in charge."""
    return _tracker.get()(items, what, total)


@contextmanager
def tracked_by(tracker: Tracker) -> Iterator[None]:
    """Put a tracker in charge of all work inside the `with` block."""
    token = _tracker.set(tracker)
    try:
        yield
    finally:
        _tracker.reset(token)
