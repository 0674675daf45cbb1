"""The Ray cluster that a study runs on: started here or joined, and whether it has what the study needs."""

import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from bgbias.errors import SettingError
from study.record.config import StudyConfig

KNOCK_SECONDS = 5.0
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",
}
"""Ray's environment variables; the last because a study's own folder is what it goes on from."""


@contextmanager
def ray_session(config: StudyConfig) -> Iterator[None]:
    """Ray, started here or joined at an address, for as long as the study runs.

    Raises:
        SettingError: the cluster cannot be reached, or has no room for a single trial.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    try:
        _knock(config.address)
        ray.init(
            address=config.address or "local",
            include_dashboard=None if config.address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        if config.address is None:
            raise SettingError(f"Ray could not be started here ({reason}): free memory or processes") from None
        raise SettingError(
            f"no Ray cluster at '{config.address}' ({reason}): start one or leave --address out"
        ) from None
    try:
        check_room(config)
        with terminable():
            yield
    finally:
        ray.shutdown()


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM, which batch schedulers send, end a study as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _knock(address: str | None) -> None:
    """Whether anything answers at `HOST:PORT`; Ray itself would wait for minutes.

    Raises:
        OSError: nothing does.
        SettingError: it is an address for Ray's clients, whose callbacks would run elsewhere than their files lie.
    """
    if (address or "").startswith("ray://"):
        raise SettingError(
            f"--address {address} is for Ray's clients: give HOST:PORT on a node of the cluster, "
            "or `study submit --address http://HOST:8265 run ...` from anywhere"
        )
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


def check_room(config: StudyConfig) -> None:
    """Whether a trial fits what is free now, on a single machine.

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
