"""The MLflow dashboard."""

import os
import subprocess
import sys
from pathlib import Path

from study.display import console
from study.passwords import without_password

SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def serve(tracking_uri: str, root: Path, host: str, port: int) -> None:
    """Serve MLflow's dashboard until it is stopped. A store on a server of its own is only pointed to."""
    if tracking_uri.startswith("http"):
        console.print(f"this study reports to {without_password(tracking_uri)}: open it in a browser")
        return
    command = [
        sys.executable, "-m", "mlflow", "ui",
        "--default-artifact-root", (root / "mlartifacts").as_uri(),
        "--host", host, "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    console.print(f"MLflow dashboard: http://{host}:{port} (Ctrl-C stops it)")
    store = {"MLFLOW_BACKEND_STORE_URI": tracking_uri}  # a command line can be read by everyone on the machine
    subprocess.run(command, env={**os.environ, **SETTINGS, **store}, check=False)
