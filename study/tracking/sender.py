"""Starts, watches and stops the process that sends an outbox to MLflow."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rich.markup import escape

from study import stopping
from study.display import console
from study.errors import OutboxError
from study.tracking.outbox import Outbox

PATIENCE_SECONDS = 60
STALL_SECONDS = 300
RESTART_SECONDS = 2.0
FINISH = "finish\n"


class Sender:
    """Sends an outbox's messages to MLflow from a process of its own, which is started again if it dies.

    The process reads a line of JSON that says what to send where, and then at most one more line: send what is left and
    end. The end of its input ends it at once. It writes lines of JSON: `problem`, a text or null, `refused`, a text,
    and `sent`, the numbers of messages, which are then dropped here.
    """

    def __init__(self, outbox_file: Path, tracking_uri: str, artifacts: Path) -> None:
        """
        Args:
            artifacts: folder for artifacts where the store is a database, without an artifact server.
        """
        self._outbox = Outbox(outbox_file)
        order = {"outbox": str(outbox_file), "tracking_uri": tracking_uri, "artifacts": str(artifacts)}
        self._order = json.dumps(order) + "\n"
        self._sent: list[int] = []
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._finishing = threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="mlflow-sender", daemon=True)
        self.problem: str | None = None

    def start(self) -> None:
        """Begin sending."""
        self._thread.start()

    def finish(self) -> int:
        """Send what is left, unless MLflow stays in trouble; how many messages remain unsent."""
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
        remaining = len(self._outbox)
        self._outbox.close()
        return remaining

    def _wait(self) -> None:
        """Wait for the process to end, as long as messages go on arriving."""
        remaining, since = len(self._outbox), time.monotonic()
        while self._thread.is_alive():
            self._thread.join(0.2)
            now = len(self._outbox)
            if now != remaining:
                remaining, since = now, time.monotonic()
            waited = time.monotonic() - since
            if stopping.late() or waited > (PATIENCE_SECONDS if self.problem else STALL_SECONDS):
                self.problem = self.problem or f"nothing arrived for {waited:.0f} seconds"
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
                self._hear({"problem": problem})
            self._given_up.wait(RESTART_SECONDS)

    def _listen(self, process: "subprocess.Popen[str]") -> int:
        """Hear the process out; its exit code."""
        with process:
            for line in process.stdout or ():
                self._hear(json.loads(line))
            code = process.wait()
            with self._lock:
                self._process = None
        return code

    def _launch(self) -> "subprocess.Popen[str]":
        """Start the process in a group of its own, where Ctrl-C does not reach it, but in this session, within which
        Linux weighs priorities. Its environment is a copy: Ray may be changing this process's own at that moment."""
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

    def _hear(self, said: dict[str, Any]) -> None:
        refused, problem = said.get("refused"), said.get("problem")
        if "sent" in said:
            self._drop(said["sent"])
            return
        if refused is not None:
            console.print(f"[yellow]MLflow refused a report: {escape(refused)}[/]", soft_wrap=True)
            return
        if problem is not None and self.problem is None:
            console.print(f"[yellow]MLflow cannot be reached, the study goes on ({escape(problem)})[/]", soft_wrap=True)
        self.problem = problem

    def _drop(self, sent: list[int]) -> None:
        self._sent += sent
        with contextlib.suppress(OutboxError):  # a full disk: they go with the next
            self._outbox.drop(self._sent)
            self._sent = []


def _write(process: "subprocess.Popen[str]", text: str) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):  # it has died, and is started again
            process.stdin.write(text)
            process.stdin.flush()
