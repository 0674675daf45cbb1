"""Everything that relies on what Ray does not document; a test of each names the behaviour, as seen in Ray 2.60."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

from ray._private import services, utils
from ray.air._internal import usage
from ray.tune.experiment import Trial

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",
}
"""Ray's environment variables: a study's own folder is what it continues from; and its search limits the trials under
way itself, where Ray would start a worker only once the one before is ready."""

UNLIMITED = -1
"""Failures after which a trial is tried again without end."""


def quiet() -> None:
    """Set what the environment does not set already, silence Ray Tune's log, and leave its callbacks uncounted."""
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    usage.tag_callbacks = count_no_callbacks


def count_no_callbacks(_: object) -> bool:
    """Stand in for Ray's count of a study's callbacks, which imports MLflow, for seconds, to recognise its own."""
    return False


@contextmanager
def own_signals() -> Iterator[None]:
    """Start Ray without its handler of SIGTERM, and its processes in process groups of their own.

    Ray's handler raises SystemExit, or ends Ray's processes, amid Ray's start. Ray starts each process by
    `services.ConsolePopen`; in a group of its own it is not reached by the signals that a batch system sends to this
    process's group.
    """
    popen: Any = services.ConsolePopen
    set_handler: Any = utils.set_sigterm_handler
    services.ConsolePopen = partial(popen, process_group=0)
    utils.set_sigterm_handler = set_no_handler
    try:
        yield
    finally:
        services.ConsolePopen = popen
        utils.set_sigterm_handler = set_handler


def set_no_handler(handler: object) -> None:
    """Stand in for Ray's registration of its handler of SIGTERM."""


@contextmanager
def own_interrupt() -> Iterator[None]:
    """Put Ctrl-C's handler back, which `Tuner.fit` replaces for good."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def stand_in(trial_id: str) -> SimpleNamespace:
    """A trial for ASHA, which reads nothing of a trial but its name."""
    return SimpleNamespace(trial_id=trial_id)


def try_again(trial: Trial, again: bool) -> None:
    """Decide whether a trial that fails again is tried again: Ray looks at its limit at every failure."""
    trial.max_failures = UNLIMITED if again else 0
