"""The tools that keep the code tidy are part of the tests."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = Path(sys.executable).parent
TOP_LEVEL = {"README.md", "pyproject.toml", "study", "bgbias", "search_spaces", "tests", "docker"}


@pytest.mark.parametrize("command", ["ruff check", "ruff format --check", "mypy", "lint-imports"])
def test_the_code_passes(command):
    tool, *options = command.split()
    done = subprocess.run([TOOLS / tool, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_visible_stands_beside_what_the_design_names():
    command = ["git", "ls-files"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    found = {name.split("/")[0] for name in files if name}
    assert {name for name in found if not name.startswith(".")} <= TOP_LEVEL
