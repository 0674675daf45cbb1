"""MLflow servers for tests, on a free port of this machine."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from study.cli.dashboard import SETTINGS

PATIENCE = 120
PROGRAMS = ("initdb", "pg_ctl", "createdb")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def mlflow_server(store, folder):
    """An MLflow server with an artifact store; yields its address."""
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--serve-artifacts",
        "--artifacts-destination", (folder / "artifacts").as_uri(), "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1",
    ]  # fmt: skip
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, env={**os.environ, **SETTINGS}, cwd=folder, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, server, folder / "server.log")
        yield address
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address, server, log):
    for _ in range(PATIENCE):
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise TimeoutError(log.read_text())


def postgres_binaries():
    """The folder of PostgreSQL's programs, or None."""
    on_path = shutil.which("initdb")
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *([Path(on_path).resolve().parent] if on_path else [])]
    complete = [folder for folder in folders if all((folder / name).exists() for name in PROGRAMS)]
    return complete[-1] if complete else None


def unprivileged():
    """Make the prefix of a command that runs as a user other than root; None if there is no such user."""
    if os.getuid() != 0:
        return []
    names = {entry.pw_name for entry in pwd.getpwall()}
    return ["runuser", "-u", "postgres", "--"] if "postgres" in names and shutil.which("runuser") else None


@contextmanager
def postgres_database(folder):
    """A fresh PostgreSQL cluster, listening on loopback; yields the URI of its database."""
    binaries, as_user = postgres_binaries(), unprivileged()
    port, data = free_port(), folder / "cluster"
    if as_user:
        shutil.chown(folder, "postgres")

    def do(program, *arguments):
        command = [*as_user, str(binaries / program), *map(str, arguments)]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)

    do("initdb", "-D", data, "-A", "trust", "-U", "mlflow")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    do("pg_ctl", "-D", data, "-o", options, "-l", folder / "postgres.log", "-w", "start")
    try:
        do("createdb", "-h", "127.0.0.1", "-p", port, "-U", "mlflow", "runs")
        yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/runs"
    finally:
        do("pg_ctl", "-D", data, "-m", "fast", "stop")
