"""MLflow: how many values a second reach a local server, and how long an epoch waits for its report.

    .venv/bin/python tests/benchmarks/reporting.py

Starts an `mlflow server` on an SQLite file, or takes a running one by --server. Beside ours: MLflow's bare client
calling `log_batch` with the 1,000 values that one call takes, from one thread and from three, which shows what the
server itself can do; and from the training loop a call for each epoch, and one for each value as Ray's
MLflowLoggerCallback makes them. The waits are those of the study's process for one epoch's report while the sender
works on a backlog: with the server up, with nothing listening at its port, and with a server that takes connections and
never answers. On a busy machine the last line says what of them is the machine's. Takes two minutes on two free cores.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from urllib.request import urlopen

import numpy as np
import typer
from mlflow import MlflowClient
from mlflow.entities import Metric

from study.record.epoch import EpochReport
from study.tracking import sender as sending
from study.tracking.outbox import Outbox
from study.tracking.reporter import Reporter
from study.tracking.sender import Sender

VALUES = {f"val/variant_{number}/accuracy": 0.9 for number in range(40)}
"""What an epoch reports."""

PER_CALL = 1000 // len(VALUES)
"""Epochs in one full call."""


def main(
    server: Annotated[str | None, typer.Option(help="URL of a running server; one is started if left out")] = None,
    trials: Annotated[int, typer.Option(help="trials that report side by side")] = 8,
    epochs: Annotated[int, typer.Option(help="of each trial")] = 125,
    rounds: Annotated[int, typer.Option(help="how often everything is measured")] = 3,
    pace: Annotated[float, typer.Option(help="epochs a second while waits are measured")] = 125.0,
) -> None:
    with tempfile.TemporaryDirectory() as folder, running(server, Path(folder)) as uri:
        print(
            f"{len(VALUES)} values an epoch, {trials} trials of {epochs} epochs, {uri}, load {os.getloadavg()[0]:.1f}"
        )
        print("values a second that reach the server")
        for number in range(1, rounds + 1):
            box = Path(folder) / f"box-{number}"
            rate, used = ours(box, uri, trials, epochs)
            print(f"  round {number}: ours {rate:6.0f} ({1e6 * used:.0f} us of the sender's CPU a value)", end="")
            for threads in (1, 3):
                print(f", bare client in {threads} thread{'s' * (threads > 1)} {bare(uri, threads):6.0f}", end="")
            print(f", a call an epoch {by_epoch(uri):5.0f}, a call a value {by_value(uri):4.0f}", flush=True)
        print("milliseconds an epoch waits           mean    p50    p99    max")
        with closed_port() as nobody, hanging_port() as hanging:
            for name, address in (("server up", uri), ("nothing listens", nobody), ("server hangs", hanging)):
                show(name, waits(Path(folder) / name.replace(" ", "-"), address, trials, epochs, pace))
        show("(a sleep's own lateness)", lateness(trials * epochs, pace))


def ours(box: Path, uri: str, trials: int, epochs: int) -> tuple[float, float]:
    """Values a second from the first call's arrival to the last's, and seconds of the sender's CPU for each."""
    put(box, trials, epochs)
    watched = Outbox(box)
    sender = Sender(box, uri, box.parent)
    sender.start()
    wait_until(lambda: len(watched) < trials * epochs)
    left, started = len(watched), time.perf_counter()
    used = cpu_seconds(sender)
    wait_until(lambda: len(watched) == 0)
    seconds, values = time.perf_counter() - started, left * len(VALUES)
    used = cpu_seconds(sender) - used
    watched.close()
    sender.finish()
    return values / seconds, used / values


def put(box: Path, trials: int, epochs: int) -> None:
    reporter = Reporter(box, "benchmark", box.name)
    reporter.study("benchmark", {}, {})
    for trial in range(trials):
        reporter.trial(f"{box.name}-{trial}", f"trial {trial}", {"seed": trial}, {})
    for epoch in range(1, epochs + 1):
        for trial in range(trials):
            reporter.epoch(f"{box.name}-{trial}", EpochReport(epoch, VALUES))
    reporter.close()


def bare(uri: str, threads: int, calls: int = 9) -> float:
    """Values a second in full calls of MLflow's client, each thread into a run of its own."""

    def log(client: MlflowClient, run: str) -> None:
        for call in range(calls // threads):
            epochs = range(call * PER_CALL, (call + 1) * PER_CALL)
            client.log_batch(run, [metric for epoch in epochs for metric in metrics_of(epoch)])

    clients = [(MlflowClient(uri), new_run(uri)) for _ in range(threads)]
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda both: log(*both), clients))
    return calls // threads * threads * PER_CALL * len(VALUES) / (time.perf_counter() - started)


def by_epoch(uri: str, epochs: int = 15) -> float:
    """Values a second with one call for each epoch."""
    client, run, started = MlflowClient(uri), new_run(uri), time.perf_counter()
    for epoch in range(epochs):
        client.log_batch(run, metrics_of(epoch))
    return epochs * len(VALUES) / (time.perf_counter() - started)


def by_value(uri: str) -> float:
    """Values a second with one call for each value, as Ray's MLflowLoggerCallback makes them."""
    client, run, started = MlflowClient(uri), new_run(uri), time.perf_counter()
    for key, value in VALUES.items():
        client.log_metric(run, key, value)
    return len(VALUES) / (time.perf_counter() - started)


def metrics_of(epoch: int) -> list[Metric]:
    return [Metric(key, value, 1_700_000_000_000 + epoch, epoch) for key, value in VALUES.items()]


def new_run(uri: str) -> str:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("bare") or client.get_experiment(client.create_experiment("bare"))
    return str(client.create_run(experiment.experiment_id).info.run_id)


def waits(box: Path, uri: str, trials: int, epochs: int, pace: float) -> np.ndarray:
    """Seconds that each epoch's report takes, the sender being busy with a backlog and with these."""
    put(box, trials, epochs)
    sender = Sender(box, uri, box.parent)
    sender.start()
    time.sleep(3)  # it starts
    reporter = Reporter(box, "benchmark", box.name)
    found = []
    for number in range(trials * epochs):
        trial, epoch = number % trials, epochs + 1 + number // trials
        started = time.perf_counter()
        reporter.epoch(f"{box.name}-{trial}", EpochReport(epoch, VALUES))
        found.append(time.perf_counter() - started)
        time.sleep(max(0.0, 1 / pace - found[-1]))
    reporter.close()
    sending.PATIENCE_SECONDS = sending.STALL_SECONDS = 0
    sender.finish()
    return np.array(found)


def lateness(count: int, pace: float) -> np.ndarray:
    """Seconds by which this machine wakes a sleeper too late: what no program here can do better than."""
    found = []
    for _ in range(count):
        started = time.perf_counter()
        time.sleep(1 / pace)
        found.append(time.perf_counter() - started - 1 / pace)
    return np.array(found)


def show(name: str, seconds: np.ndarray) -> None:
    p50, p99 = np.quantile(seconds, (0.5, 0.99))
    figures = "".join(f"{1000 * value:7.3f}" for value in (seconds.mean(), p50, p99, seconds.max()))
    print(f"  {name:34s}{figures}", flush=True)


@contextmanager
def running(given: str | None, folder: Path) -> Iterator[str]:
    """The URL of a running MLflow server."""
    if given is not None:
        yield given
        return
    with closed_port() as uri:
        pass
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--port", uri.rpartition(":")[2]], env={**os.environ, **quiet}, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: healthy(uri))
        yield uri
    finally:
        server.terminate()
        server.wait()


def healthy(uri: str) -> bool:
    try:
        with urlopen(f"{uri}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def closed_port() -> Iterator[str]:
    """A URL where nothing listens: its port is bound, so that nothing else gets it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@contextmanager
def hanging_port() -> Iterator[str]:
    """A URL where connections are taken and never answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def wait_until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.02)


def cpu_seconds(sender: Sender) -> float:
    """Of the sending process so far."""
    assert sender._process is not None
    fields = Path(f"/proc/{sender._process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    typer.run(main)
