"""Where a result comes from: versions of what computed it, and the project's commit."""

import functools
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("bgbias", "torch", "torchvision", "ray", "optuna", "mlflow")


@functools.cache
def versions() -> dict[str, str]:
    """`version/<package>` of each package that shapes results, and `commit` where the project is a git checkout."""
    found = {f"version/{package}": version(package) for package in PACKAGES}
    commit = _commit()
    return {**found, "commit": commit} if commit else found


def trial_tags(settings: dict[str, Any], stage: str, space: str) -> dict[str, str]:
    """The tags that trials are found and grouped by in MLflow."""
    return {
        "method": settings["method/name"],
        "dataset": settings["dataset/name"],
        "seed": str(settings["seed"]),
        "stage": stage,
        "space": space,
        **versions(),
    }


def _commit() -> str | None:
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
