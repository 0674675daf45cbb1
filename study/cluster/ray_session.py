"""The Ray cluster that a study runs on: started here or joined, and whether it has what the study needs."""

import logging
import math
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import ray

from bgbias.errors import BgbiasError, SettingError
from study import stopping
from study.cluster.ray_internals import own_signals, quiet
from study.record.config import StudyConfig
from study.scratch import PREFIX, scratch, sweep

CONNECT_SECONDS, LOOK_SECONDS = 5.0, 1.0
SHORT = Path("/tmp")
"""Parent of Ray's folder if the path of the folder for temporary files is too long for Ray's sockets."""
SOCKET_BYTES = 107
"""Largest number of bytes of a socket's path."""
SOCKET = "session_2000-01-01_00-00-00_000000_0000000/sockets/plasma_store"
"""The longest path of a socket below Ray's folder."""


@contextmanager
def ray_session(config: StudyConfig) -> Iterator[None]:
    """Ray, started here or joined at an address, for as long as the study runs.

    Raises:
        SettingError: the cluster cannot be reached, or has no room for a single trial.
    """
    quiet()
    place = ray_place()
    sweep(place)
    try:
        with scratch(place) as folder, stopped_with_its_processes():
            start(config.address, folder)
            check_room(config)
            yield
    finally:
        sweep(place)


def start(address: str | None, folder: Path) -> None:
    """Start Ray with a folder for its sockets and logs, or join the Ray at an address.

    Ray puts the working folder first on its workers' import path, so it starts in its own, where nothing can be
    imported from.

    Raises:
        SettingError: Ray cannot be started or reached.
    """
    try:
        _require_connection(address)
        with chdir(folder), own_signals():
            ray.init(
                address=address or "local",
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=True,
                _temp_dir=None if address else str(folder),
            )
    except BgbiasError:
        raise
    except Exception as error:  # Ray raises its bare Exception where a process does not start in time
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if address is None:
            raise SettingError(
                f"Ray could not be started here ({reason}): free memory or processes, then start again"
            ) from None
        raise SettingError(f"no Ray cluster at '{address}' ({reason}): start one or leave --address out") from None
    stopping.handle()


def ray_place() -> Path:
    """The folder that Ray's own is made in: RAY_TMPDIR, or TMPDIR where its path is short enough, or /tmp.

    Raises:
        SettingError: RAY_TMPDIR is too long.
    """
    asked = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()).absolute()
    room = SOCKET_BYTES - len(f"/{PREFIX}00000000/{SOCKET}")
    if len(os.fsencode(asked)) <= room:
        return asked
    if "RAY_TMPDIR" in os.environ:
        raise SettingError(
            f"RAY_TMPDIR must be a path of at most {room} bytes, since a socket's path has at most {SOCKET_BYTES}, but "
            f"got '{asked}' of {len(os.fsencode(asked))}: give a shorter one"
        )
    return SHORT


@contextmanager
def stopped_with_its_processes() -> Iterator[None]:
    """End Ray after a block, whether it was started whole or not."""
    try:
        yield
    finally:
        ray.shutdown()
        if stopping.received():
            stopping.end_children()


def _require_connection(address: str | None) -> None:
    """Try to connect to `HOST:PORT`, since Ray itself would wait for minutes.

    Raises:
        OSError: no server answers.
        SettingError: it is an address for Ray's clients, whose callbacks would run on a machine without our files.
    """
    if (address or "").startswith("ray://"):
        raise SettingError(
            f"--address {address} is for Ray's clients: give HOST:PORT on a node of the cluster, "
            "or `study submit --address http://HOST:8265 run ...` from anywhere"
        )
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


class Room:
    """The number of trials that run at once on the cluster; looked up at most once a second, since nodes may join."""

    def __init__(self, config: StudyConfig) -> None:
        self._asked = {"CPU": config.cpus_per_trial, "GPU": config.gpus_per_trial}
        self._found, self._looked = 1, -math.inf

    def __call__(self) -> int:
        """Give the number."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            there = ray.cluster_resources()
            fits = [there.get(resource, 0.0) / asked for resource, asked in self._asked.items() if asked]
            self._found, self._looked = max(1, int(min(fits, default=1.0))), time.monotonic()
        return self._found


def check_room(config: StudyConfig) -> None:
    """Check that a trial fits into the free resources of one machine.

    Raises:
        SettingError: it does not.
    """
    free = ray.available_resources()
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for resource, asked in (("CPU", config.cpus_per_trial), ("GPU", config.gpus_per_trial)):
        largest = max((machine.get(resource, 0.0) for machine in machines), default=0.0)
        room = min(largest, free.get(resource, 0.0))
        if asked > room:
            raise SettingError(
                f"a trial asks for {asked:g} {resource}s but Ray has {room:g} free on one machine: "
                f"lower --{resource.lower()}s-per-trial or join a larger cluster with --address"
            )
