"""The dashboards of a study: MLflow's, opened at the study's own page, and Optuna's."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from pathlib import Path

from rich.markup import escape

from bgbias.errors import SettingError
from study.display import console, show_line
from study.errors import ExtraMissingError
from study.record.config import StudyConfig
from study.record.folder import StudyFolder
from study.tracking.passwords import without_password
from study.tracking.relocate import readable
from study.tracking.writer import first_line

SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
MLFLOW_PORT, OPTUNA_PORT = 5000, 8080
LOG = "dashboard.log"
"""The file of a study's folder that a server's messages go to."""
CONNECT_SECONDS, PATIENCE_SECONDS, END_SECONDS = 0.5, 120, 3
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
LOCAL = ("localhost", "127.0.0.1", "[::1]")
HOSTS, ORIGINS = "MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"
"""MLflow's settings for the names that its pages may be opened under, against attacks through a browser."""


def serve(folder: StudyFolder, config: StudyConfig, host: str, port: int, browser: bool) -> None:
    """Serve MLflow's dashboard until it is stopped. A server of its own is only pointed to.

    Args:
        browser: whether to open the study's page in a browser, where there is one.

    Raises:
        SettingError: nothing can listen there, or the server ended by itself.
    """
    with readable(folder, config) as (uri, scratch):
        _serve(uri, scratch / LOG, folder.artifacts(config), config, host, port, browser)


def _serve(uri: str, log: Path, artifacts: Path, config: StudyConfig, host: str, port: int, browser: bool) -> None:
    if uri.startswith("http"):
        page = uri.rstrip("/") + "/" + study_page(uri, config)
        console.print(f"this study reports to a server of its own: {without_password(page)}", soft_wrap=True)
        if browser:
            open_browser(page)
        return
    check_port(host, port)
    page = f"{address(host, port)}/{study_page(uri, config)}"
    console.print(f"MLflow dashboard: {page} (Ctrl-C stops it)", soft_wrap=True)
    names = names_of(host)
    if names:
        console.print(
            f"from elsewhere: {', '.join(f'http://{name}:{port}' for name in names)}; under another name only with "
            f"that name in {HOSTS} and its address in {ORIGINS}",
            soft_wrap=True,
        )
    if browser:
        open_when_ready(page, host, port)
    store = {"MLFLOW_BACKEND_STORE_URI": uri}  # a command line can be read by everyone on the machine
    code = run_to_its_end(command(artifacts, host, port), {**allowed(names, port), **SETTINGS, **store}, log)
    check_port(host, port)  # another server may have taken it meanwhile
    raise SettingError(f"MLflow's server ended by itself with code {code}: {log} says why")


def check_port(host: str, port: int) -> None:
    """Check that a server can listen there.

    Raises:
        SettingError: it cannot.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host.strip("[]"), port), family=family).close()
    except OSError as error:
        raise SettingError(
            f"nothing can listen on port {port} of {host} ({os.strerror(error.errno or 0)}): give another --port or "
            "--host, or stop the server that listens there"
        ) from None


def names_of(host: str) -> list[str]:
    """Under which names and addresses other machines may open a server that listens at a host; none on loopback."""
    if host in EVERYWHERE:
        own = socket.gethostname()
        found = [own, socket.getfqdn()]
        with contextlib.suppress(OSError):
            found += [str(item[4][0]) for item in socket.getaddrinfo(own, None, socket.AF_INET)]
    else:
        found = [host]
    return [name for name in dict.fromkeys(found) if name not in LOCAL and not name.startswith("127.")]


def allowed(names: list[str], port: int) -> dict[str, str]:
    """MLflow's settings that let a server be opened under some names too, unless the environment has its own."""
    if not names:
        return {}
    hosts = [f"{name}:{port}" for name in (*LOCAL, *names)]
    given = {HOSTS: ",".join(hosts), ORIGINS: ",".join(f"http://{host}" for host in hosts)}
    return {key: os.environ.get(key, value) for key, value in given.items()}


def run_to_its_end(command: list[str], environment: dict[str, str], log: Path) -> int:
    """Run a server in a process group of its own, which ends with this block; its exit code.

    Args:
        environment: what is added to this process's.
        log: the file that its output goes to.
    """
    with log.open("w") as output:
        server = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=output, stderr=output, process_group=0
        )
    try:
        return server.wait()
    finally:
        end_group(server)


def end_group(leader: "subprocess.Popen[bytes]") -> None:
    """End a process group: ask, wait, and kill what is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            leader.wait(END_SECONDS)
        os.killpg(leader.pid, signal.SIGKILL)


def command(artifacts: Path, host: str, port: int) -> list[str]:
    """Make the command that starts MLflow's server on a study's own store."""
    return [
        sys.executable, "-m", "mlflow", "ui",
        "--default-artifact-root", artifacts.as_uri(),
        "--host", host, "--port", str(port), "--workers", "1",
    ]  # fmt: skip


def address(host: str, port: int) -> str:
    """Make the URL under which a browser on this machine finds a server that listens at `host` and `port`."""
    return f"http://{EVERYWHERE.get(host, host)}:{port}"


def study_page(uri: str, config: StudyConfig) -> str:
    """The page of the study's parent run, from the server's root; the root itself before the run is there."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=uri)
    try:
        experiment = client.get_experiment_by_name(config.mlflow_experiment)
        if experiment is None:
            return ""
        asked = f"tags.study_id = '{config.study_id}'"
        runs = client.search_runs([experiment.experiment_id], asked, max_results=1)
    except MlflowException as error:
        reason = first_line(error)
        show_line(f"[yellow]the study's page cannot be looked up ({escape(reason)})[/]")
        return ""
    page = f"#/experiments/{experiment.experiment_id}"
    return f"{page}/runs/{runs[0].info.run_id}" if runs else page


def open_when_ready(page: str, host: str, port: int) -> None:
    """Open a page in a browser as soon as its server answers, without waiting for it here."""
    threading.Thread(target=_open_when_ready, args=(page, EVERYWHERE.get(host, host), port), daemon=True).start()


def _open_when_ready(page: str, host: str, port: int) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            socket.create_connection((host.strip("[]"), port), timeout=CONNECT_SECONDS).close()
        except OSError:
            time.sleep(CONNECT_SECONDS)
        else:
            open_browser(page)
            return


def open_browser(page: str) -> None:
    """Open a page in a browser with windows, if there is one."""
    if "BROWSER" in os.environ or has_windows():
        webbrowser.open(page)


def has_windows() -> bool:
    """Return True if windows can be shown here. Without windows, a text browser would take over the terminal."""
    return sys.platform in ("darwin", "win32") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


def serve_searches(folder: StudyFolder, host: str, port: int, browser: bool) -> None:
    """Serve Optuna's dashboard of all searches of a study until it is stopped.

    It shows the searches as they stand when it starts; `optuna-dashboard` on one space's journal follows it.

    Raises:
        ExtraMissingError: optuna-dashboard is not installed.
        SettingError: no search has begun, or nothing can listen there.
    """
    try:
        from optuna_dashboard import run_server
    except ImportError:
        raise ExtraMissingError(
            "Optuna's dashboard needs the package optuna-dashboard: install this project with its extra, "
            "`pip install -e '.[server]'`"
        ) from None
    from study.cli.searches import gathered

    check_port(host, port)
    storage = gathered(folder)
    console.print(f"Optuna dashboard: {address(host, port)} (Ctrl-C stops it)", soft_wrap=True)
    if browser:
        open_when_ready(address(host, port), host, port)
    with (folder.root / LOG).open("w") as log, contextlib.redirect_stderr(log):
        run_server(storage, host=host, port=port)
