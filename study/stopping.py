"""Signals that stop a command: one line, exit code 128 + the signal's number, within 10 seconds, no process left.

The first signal is raised as KeyboardInterrupt in the main thread, so that running code can clean up, and again where
Python drops exceptions (a fork's callbacks, a finalizer). A thread ends the process when that takes too long, or at a
second signal. This module imports the standard library only: it is set up
before the imports that take seconds.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from study.scratch import remove_own, sweep

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_SECONDS, LATE_SECONDS, REPEAT_SECONDS = 8.0, 5.0, 1.0
"""After the first signal: when the process is ended, when it stops waiting for others, and from when on another
signal ends it at once. Some programs send the same signal twice."""

AGAIN_SECONDS = 0.01
"""Time from a dropped KeyboardInterrupt to the signal that is sent again."""

END_SECONDS = 1.0
"""Time that a killed process may take to end."""

PR_SET_CHILD_SUBREAPER = 36


class _State:
    number: int | None = None
    since = 0.0
    repeat_from = 0.0
    orderly = False
    raised = False
    printed = threading.Lock()
    way_on = "nothing was begun"


def install() -> None:
    """Handle the signals, except ignored ones, as under `nohup`.

    Orphaned processes become this one's children, so that all of them are ended with it.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reading,), name="signals", daemon=True).start()
    handle()
    sys.unraisablehook = _unraisable
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_CHILD_SUBREAPER, 1)


def handle() -> None:
    """Take the signals' handlers, which Ray's native code replaces."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)


def orderly(on: bool) -> None:
    """Choose whether a signal raises KeyboardInterrupt (True) or ends the process at once (False, during imports)."""
    _State.orderly = on


def on_stop(way_on: str) -> None:
    """Set what a stopped command says, from now on, of how to continue."""
    _State.way_on = way_on


def received() -> bool:
    """Return True if a signal has asked the process to stop."""
    return _State.number is not None


def late() -> bool:
    """Return True if a stopped process has no time left to wait for others."""
    return received() and time.monotonic() - _State.since > LATE_SECONDS


def stopped(line: str | None = None) -> int:
    """Print a stopped command's one line; its exit code."""
    number = _State.number or signal.SIGINT
    if _State.printed.acquire(blocking=False):
        with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
            sys.stderr.write(f"{line or f'stopped by {signal.Signals(number).name}: {_State.way_on}'}\n")
            sys.stderr.flush()
    return 128 + number


def end_children() -> None:
    """Kill every process below this one, and wait until they have ended."""
    until = time.monotonic() + END_SECONDS
    while (left := descendants(os.getpid())) and time.monotonic() < until:
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def descendants(pid: int) -> set[int]:
    """The processes below one that have not ended; none where the system has no /proc."""
    children: dict[int, list[int]] = {}
    ended: set[int] = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            own, (state, parent, *_) = int(status.parent.name), status.read_text().rpartition(")")[2].split()
            children.setdefault(int(parent), []).append(own)
            ended |= {own} if state in "ZX" else set()
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        mine = children.get(waiting.pop(), [])
        found.update(mine)
        waiting += mine
    return found - ended


def _handle(number: int, frame: FrameType | None) -> None:
    _note(number)
    if not _State.orderly or _State.raised:
        return
    _State.raised = True
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler) and handler is not _handle:  # Ray's, while trials run
        handler(signal.SIGINT, frame)
    else:
        raise KeyboardInterrupt


def _unraisable(dropped: "sys.UnraisableHookArgs") -> None:
    """Send the signal again whose KeyboardInterrupt Python has dropped; report any other exception as usual."""
    if not (received() and _State.raised and issubclass(dropped.exc_type, KeyboardInterrupt)):
        sys.__unraisablehook__(dropped)
        return
    _State.raised, _State.repeat_from = False, time.monotonic() + REPEAT_SECONDS
    again = threading.Timer(
        AGAIN_SECONDS, signal.pthread_kill, (threading.main_thread().ident, _State.number or signal.SIGINT)
    )
    again.daemon = True
    again.start()


def _note(number: int) -> None:
    if _State.number is None:
        _State.since, _State.number = time.monotonic(), number
        _State.repeat_from = _State.since + REPEAT_SECONDS


def _watch(reading: int) -> None:
    while (number := os.read(reading, 1)[0]) not in SIGNALS:
        pass
    _note(number)
    deadline = _State.since + (GRACE_SECONDS if _State.orderly else 0)
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([reading], [], [], left)
        if ready and os.read(reading, 1)[0] in SIGNALS and time.monotonic() > _State.repeat_from:
            break
    _leave()


def _leave() -> NoReturn:
    """End this process now, whatever it does."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K\033[?25h")  # what is left of a progress bar goes, the cursor comes back
    code = stopped()
    end_children()
    remove_own()
    sweep()
    os._exit(code)
