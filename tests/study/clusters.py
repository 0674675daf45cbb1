"""A Ray cluster of several nodes, each with processes of its own on this machine, that can be lost."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from running import descendants, wait_until

RAY = str(Path(sys.executable).with_name("ray"))


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def answers(port):
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


class Node:
    """`ray start --block` in a process group of its own, so that a node can be lost as a whole."""

    def __init__(self, *options, inside=()):
        command = [*inside, RAY, "start", "--block", "--disable-usage-stats", "--node-ip-address=127.0.0.1"]
        self._process = subprocess.Popen(
            [*command, f"--dashboard-agent-listen-port={free_port()}", *options],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def trains(self):
        """Return True if a trial runs on it."""
        return any("Trainable" in command for command in descendants(self._process.pid).values())

    def lose(self):
        """As if the machine had lost its power: its workers, which might work on for a second, die first."""
        for own in reversed([self._process.pid, *descendants(self._process.pid)]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(own, signal.SIGKILL)
        self._process.wait()


class Cluster:
    """A head with a job server that runs no trials, and nodes for one trial each."""

    def __init__(self):
        port, jobs = free_port(), free_port()
        self.address, self.jobs = f"127.0.0.1:{port}", f"http://127.0.0.1:{jobs}"
        ports = [f"--port={port}", f"--dashboard-port={jobs}", f"--ray-client-server-port={free_port()}"]
        self.nodes = [Node("--head", "--num-cpus=0", *ports)]
        wait_until(lambda: answers(jobs))

    def add(self, **options):
        """One more node, once the head knows of it."""
        self.nodes.append(Node(f"--address={self.address}", "--num-cpus=1", **options))
        self._wait()
        return self.nodes[-1]

    def lose(self, node):
        """Lose a node, until the head knows of it."""
        node.lose()
        self.nodes.remove(node)
        self._wait()

    def _wait(self):
        wait_until(lambda: self._cpus() == len(self.nodes) - 1)

    def _cpus(self):
        asked = subprocess.run(
            [RAY, "status", f"--address={self.address}"], capture_output=True, text=True, check=False
        )
        found = re.search(r"[\d.]+/([\d.]+) CPU", asked.stdout)
        return float(found[1]) if found else 0.0

    def shut_down(self):
        for node in reversed(self.nodes):
            node.lose()
