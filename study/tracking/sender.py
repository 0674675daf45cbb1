"""Starts, watches and stops the process that sends an outbox to MLflow."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from rich.markup import escape

from bgbias.errors import SettingError
from study import stopping
from study.display import show_line
from study.errors import OutboxError
from study.tracking.outbox import Outbox
from study.tracking.protocol import FINISH, Order, Progress

PATIENCE_SECONDS = 60
STALL_SECONDS = 300
LOOK_SECONDS = 60
RESTART_SECONDS = 2.0


class Sender:
    """Sends an outbox's messages to MLflow by a process of its own, which is started again if it dies.

    The process reads an `Order` from its input, and then at most one more line, which tells it to send the remaining
    messages and end. The end of its input ends it at once. It writes lines of `Progress`; messages that have arrived
    are then deleted here.
    """

    def __init__(
        self,
        outbox_file: Path,
        tracking_uri: str,
        artifacts: Path,
        experiment: str | None = None,
        *,
        beside_trials: bool = True,
    ) -> None:
        """Start the sending process.

        Args:
            outbox_file: holds the messages.
            tracking_uri: address of MLflow.
            artifacts: folder for artifacts if the store is a database, without an artifact server.
            experiment: opened before anything is sent; see `check`.
            beside_trials: True if the process runs at a low priority.
        """
        self._outbox = Outbox(outbox_file)
        order = Order(str(outbox_file), tracking_uri, str(artifacts), experiment, beside_trials)
        self._order = order.to_json() + "\n"
        self._sent: list[int] = []
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._finishing = threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="mlflow-sender", daemon=True)
        self._looked = threading.Event()
        self._unusable: str | None = None
        self.problem: str | None = None
        self.refusal: str | None = None

    def start(self) -> None:
        """Begin sending."""
        self._thread.start()

    def check(self) -> None:
        """Wait until the process has opened the experiment, or has found that it cannot be opened now.

        Raises:
            SettingError: the experiment cannot be used.
        """
        self._looked.wait(LOOK_SECONDS)
        if self._unusable is not None:
            raise SettingError(self._unusable)

    def finish(self) -> int:
        """Send the remaining messages, unless MLflow stays out of reach; return how many did not arrive."""
        with self._lock:
            self._finishing.set()
            if self._process is not None:
                _write(self._process, FINISH)
        self._wait()
        with self._lock:
            self._given_up.set()
            if self._process is not None:
                self._process.kill()
        self._thread.join()
        missing = len(self._outbox) + self._outbox.rejected()
        self._outbox.close()
        return missing

    def _wait(self) -> None:
        """Wait for the process to end, as long as messages keep arriving."""
        remaining, since = len(self._outbox), time.monotonic()
        while self._thread.is_alive():
            self._thread.join(0.2)
            now = len(self._outbox)
            if now != remaining:
                remaining, since = now, time.monotonic()
            waited = time.monotonic() - since
            late = stopping.late() or waited > (PATIENCE_SECONDS if self.problem else STALL_SECONDS)
            if late or self._unusable is not None:
                self.problem = self._unusable or self.problem or f"nothing arrived for {waited:.0f} seconds"
                return

    def _watch(self) -> None:
        while not self._given_up.is_set():
            try:
                process = self._launch()
            except OSError as error:
                problem = f"the sending process did not start: {error}"
            else:
                code = self._listen(process)
                if code == 0:
                    return
                problem = f"the sending process ended with code {code}"
            if not self._given_up.is_set():
                self._follow(Progress(problem=problem))
            self._given_up.wait(RESTART_SECONDS)

    def _listen(self, process: "subprocess.Popen[str]") -> int:
        """Read the process's output until it ends; return its exit code."""
        with process:
            for line in process.stdout or ():
                self._follow(Progress.from_json(line))
            code = process.wait()
            with self._lock:
                self._process = None
        return code

    def _launch(self) -> "subprocess.Popen[str]":
        """Start the process in a group of its own, where Ctrl-C does not reach it.

        It stays in this session, because Linux compares priorities within a session. Its environment is a copy, because
        Ray may change this process's environment at that moment.
        """
        with self._lock:
            process = self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "study.tracking.delivery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                process_group=0,
                env=os.environ.copy(),
            )
            _write(process, self._order + (FINISH if self._finishing.is_set() else ""))
            if self._given_up.is_set():
                process.kill()
        return process

    def _follow(self, progress: Progress) -> None:
        self._looked.set()
        if progress.unusable is not None:
            self._unusable = progress.unusable
            return
        if progress.refused is not None:
            if self.refusal is None:
                show_line(f"[yellow]MLflow refused a report: {escape(progress.refused)}[/]")
            self.refusal = progress.refused
        if progress.sent:
            self._drop(progress.sent)
            return
        if (problem := progress.problem) is not None and self.problem is None and not stopping.received():
            show_line(f"[yellow]MLflow cannot be reached, the study continues ({escape(problem)})[/]")
        self.problem = progress.problem

    def _drop(self, sent: tuple[int, ...]) -> None:
        self._sent += sent
        with contextlib.suppress(OutboxError):  # the disk is full: they are deleted with the next ones
            self._outbox.drop(self._sent)
            self._sent = []


def _write(process: "subprocess.Popen[str]", text: str) -> None:
    """Write to a process, unless it has died: it is started again."""
    stream = process.stdin
    if stream is None or stream.closed:
        return
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        with contextlib.suppress(BrokenPipeError):
            stream.close()  # drops the text, which `Popen` would try to write once more
