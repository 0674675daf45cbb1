"""Origin of a result: versions of the software, the project's commit, the user, the machine and the time."""

import functools
import getpass
import hashlib
import importlib.util
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

OWN = ("bgbias", "study", "search_spaces")
"""This project's own packages."""
PACKAGES = ("bgbias", "torch", "torchvision", "ray", "optuna", "mlflow")


@functools.cache
def versions() -> dict[str, str]:
    """`version/<package>` of each package that shapes results, and `commit` where the project is a git checkout."""
    found = {f"version/{package}": version(package) for package in PACKAGES}
    commit = _commit()
    return {**found, "commit": commit} if commit else found


def sources() -> dict[str, tuple[str, str]]:
    """The folder of each of this project's packages, as this process imports it, and the SHA-256 of its code.

    Asking imports none of them.
    """
    return {package: _source(package) for package in OWN}


def _source(package: str) -> tuple[str, str]:
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        return "nowhere", ""
    folder, digest = Path(folders[0]).resolve(), hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return str(folder), digest.hexdigest()


def origin() -> dict[str, str]:
    """The versions, and the user and the machine, in the tags that MLflow's own columns show."""
    tags = {"mlflow.user": _user(), "host": platform.node(), "mlflow.source.name": "study run", **versions()}
    return {**tags, "mlflow.source.git.commit": tags["commit"]} if "commit" in tags else tags


def weights_checksum(settings: Mapping[str, Any]) -> dict[str, str]:
    """`sha256/weights` of the weights that a run with these settings begins with; empty without such weights.

    Raises:
        BgbiasError: they cannot be had.
    """
    if settings.get("model/weights") is None:
        return {}
    from bgbias.config import RunConfig

    found = RunConfig.from_flat(settings).model.checksum()
    return {} if found is None else {"sha256/weights": found}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return str(os.getuid())


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _commit() -> str | None:
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
