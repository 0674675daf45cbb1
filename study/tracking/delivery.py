"""The sender's process: it sends an outbox's messages to MLflow, in order for each run, several runs at a time.

It is a process of its own, so that neither MLflow's import nor its work slows down the study: threads of one process
would take turns. It hardly writes to the outbox: it reports the messages it has sent, and the study's process deletes
them. So the study never waits for a lock that this process of lower priority holds. It runs as
`python -m study.tracking.delivery`; `study.tracking.sender` describes its input and output.
"""

import contextlib
import fcntl
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import groupby
from pathlib import Path
from typing import TextIO

from study.tracking.messages import SERVERS, EpochEnded
from study.tracking.outbox import Outbox, Posted
from study.tracking.protocol import Order, Progress
from study.tracking.writer import VALUES_PER_CALL, ExperimentError, MlflowWriter, RefusedError, first_line

WINDOW = 1000
"""Number of messages read at a time. More messages make fuller calls, but need more memory."""

PARALLEL_CALLS = 3
"""Calls to a server at a time: while it works on one, the next one is prepared."""

NICE = 19
"""The process's niceness where trials share its cores; Ray gives trials 15."""

GATHER_SECONDS = 1.0
RETRY_SECONDS = 2.0

Calls = list[list[Posted]]
"""One run's messages, in order, grouped into calls."""


def groups(waiting: list[Posted]) -> Iterator[list[Calls]]:
    """Split messages into groups to send one after another; the runs of a group may be sent in parallel.

    A message about the study is a group of its own. Consecutive messages about trials are one group, by trial.
    """
    for of_trials, consecutive in groupby(waiting, key=lambda posted: posted.message.trial is not None):
        if not of_trials:
            yield from ([[[posted]]] for posted in consecutive)
            continue
        by_trial: dict[str | None, list[Posted]] = {}
        for posted in consecutive:
            by_trial.setdefault(posted.message.trial, []).append(posted)
        yield [in_calls(trial) for trial in by_trial.values()]


def in_calls(waiting: list[Posted]) -> Calls:
    """Group one run's messages into calls: consecutive epochs up to `VALUES_PER_CALL` values, others one by one."""
    calls: Calls = []
    room = -1
    for posted in waiting:
        values = len(posted.message.report.metrics) if isinstance(posted.message, EpochEnded) else None
        if values is not None and 0 <= values <= room:
            calls[-1].append(posted)
        else:
            calls.append([posted])
            room = -1 if values is None else VALUES_PER_CALL
        room -= values or 0
    return calls


class Delivery:
    """Sends until it is stopped."""

    def __init__(self, outbox: Outbox, tracking_uri: str, artifacts: Path, report: Callable[[Progress], None]) -> None:
        """Prepare to send an outbox.

        Args:
            outbox: holds the messages.
            tracking_uri: of MLflow.
            artifacts: folder for artifacts if the store is a database, without an artifact server.
            report: called when messages have arrived, and when sending fails or works again.
        """
        self._outbox, self._uri, self._artifacts, self._notify = outbox, tracking_uri, artifacts, report
        self._finish, self._stop, self._wake = threading.Event(), threading.Event(), threading.Event()
        self._beside_trials = False
        self._calls = PARALLEL_CALLS if tracking_uri.startswith(SERVERS) else 1
        self._mlflow: MlflowWriter | None = None
        self._problem: str | None = None
        self._past = 0
        self._sent: set[int] = set()

    def finish(self) -> None:
        """Stop once everything is sent."""
        self._finish.set()
        self._wake.set()

    def stop_now(self) -> None:
        """Stop after the present calls."""
        self._stop.set()
        self._wake.set()

    def look(self, experiment: str) -> None:
        """Open the experiment, and say whether it can be used."""
        problem = unusable = None
        try:
            self._writer().open(experiment)
        except ExperimentError as error:
            unusable = str(error)
        except Exception as error:  # any problem of the server may be temporary
            problem = first_line(error)
        self._problem = problem
        self._notify(Progress(problem=problem, unusable=unusable))

    def run_beside_trials(self) -> None:
        """Send at low priority until `finish`: Linux has a priority for each thread, and what it starts inherits it."""

        def run() -> None:
            lower_priority()
            self.run()

        self._beside_trials = True
        beside = threading.Thread(target=run)
        beside.start()
        beside.join()
        self._beside_trials = False

    def run(self) -> None:
        """Send until everything is sent after `finish`, or until stopped."""
        with ThreadPoolExecutor(self._calls) as pool:
            while not self._leaves():
                pause = GATHER_SECONDS
                try:
                    messages = self._outbox.first(WINDOW, self._past)
                    if not messages and self._finish.is_set():
                        break
                    self._send([message for message in messages if message.number not in self._sent], pool)
                    self._pass(messages)
                    self._outbox.tidy()
                    self._report(None)
                    if len(messages) == WINDOW or (messages and self._finish.is_set()):
                        continue
                except Exception as error:  # any problem of the server may be temporary: the messages wait
                    self._report(first_line(error))
                    pause = RETRY_SECONDS
                if not self._leaves():
                    self._wake.wait(pause)
                    self._wake.clear()

    def _leaves(self) -> bool:
        """Return True if the present run must end after its present calls."""
        return self._stop.is_set() or (self._beside_trials and self._finish.is_set())

    def _report(self, problem: str | None) -> None:
        if problem != self._problem:
            self._notify(Progress(problem=problem))
        self._problem = problem

    def _pass(self, messages: list[Posted]) -> None:
        """Go on after these messages, which are all sent, unless the run ended before."""
        if messages and not self._leaves():
            self._past = messages[-1].number
            self._sent.clear()

    def _send(self, messages: list[Posted], pool: ThreadPoolExecutor) -> None:
        if not messages:
            return
        mlflow = self._writer()
        for group in groups(messages):
            trouble = threading.Event()
            sending = [pool.submit(self._send_calls, mlflow, calls, trouble) for calls in group]
            wait(sending)
            for calls_sent in sending:
                calls_sent.result()
            if self._leaves():
                return

    def _writer(self) -> MlflowWriter:
        self._mlflow = self._mlflow or MlflowWriter(self._uri, self._artifacts)
        return self._mlflow

    def _send_calls(self, mlflow: MlflowWriter, calls: Calls, trouble: threading.Event) -> None:
        for call in calls:
            if trouble.is_set() or self._leaves():
                return
            try:
                self._send_call(mlflow, call)
            except Exception:
                trouble.set()
                raise

    def _send_call(self, mlflow: MlflowWriter, call: list[Posted]) -> None:
        refused = None
        try:
            mlflow.apply(call)
        except RefusedError as error:
            if len(call) > 1:  # one epoch that MLflow refuses must not take the others with it
                for posted in call:
                    self._send_call(mlflow, [posted])
                return
            refused = first_line(error)
            self._outbox.reject(call[0], refused)
        numbers = tuple(posted.number for posted in call)
        self._sent.update(numbers)
        self._notify(Progress(sent=numbers, refused=refused))


def main(orders: TextIO, reports: TextIO) -> None:
    """Send an outbox until the orders end."""
    order = Order.from_json(orders.readline())

    def report(progress: Progress) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody listens any more, and the orders have ended too
            os.write(reports.fileno(), progress.to_json().encode() + b"\n")

    with Path(f"{order.outbox}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a sender whose study was killed may be in its last call
        outbox = Outbox(Path(order.outbox))
        delivery = Delivery(outbox, order.tracking_uri, Path(order.artifacts), report)

        def listen() -> None:
            for _ in orders:
                delivery.finish()
            delivery.stop_now()

        threading.Thread(target=listen, daemon=True).start()
        if order.experiment:
            delivery.look(order.experiment)
        if order.beside_trials:
            delivery.run_beside_trials()  # not before the look, for which the first trial waits
        delivery.run()
        outbox.close()


def lower_priority() -> None:
    """Leave the cores to the driver and the trials, which take them back at once when they need them."""
    os.nice(NICE)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # some sandboxes forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    reports = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # MLflow prints where a run can be seen
        main(sys.stdin, reports)
