"""Set-up of a process that trains, and the exit of a process that ran Ray."""

import atexit
import ctypes
import os
import sys
from typing import NoReturn

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Parameters of glibc's `mallopt`."""
KEPT_BYTES = 1 << 30


def set_up(threads: int) -> None:
    """Set torch's number of threads, and keep freed memory for the next batch.

    Sums may differ in their last bits with another number of threads. By itself glibc returns every large block to the
    system, which clears it again page by page: a quarter of the time that a batch of photographs takes.
    """
    import torch

    torch.set_num_threads(threads)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, KEPT_BYTES)


def exit_process(code: int) -> NoReturn:
    """End this process with Python's own clean-up, but not that of its native libraries.

    Threads of Ray outlive `ray.shutdown`. When one wakes up after the native clean-up has destroyed what it reads, the
    process crashes, and a study that ended well would seem to have failed.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
