"""The tools that keep the code tidy are part of the tests."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = Path(sys.executable).parent
QUESTION = re.compile(r"(What|How|Where|Whether|Which|Why|When|Who)\b")
TOP_LEVEL = {"README.md", "pyproject.toml", "study", "bgbias", "search_spaces", "tests", "docker"}


COMMANDS = ("ruff check", "ruff format --check", "mypy", "mypy tests/benchmarks", "lint-imports")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_code_passes(command):
    tool, *options = command.split()
    done = subprocess.run([TOOLS / tool, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_visible_stands_beside_what_the_design_names():
    command = ["git", "ls-files"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    found = {name.split("/")[0] for name in files if name}
    assert {name for name in found if not name.startswith(".")} <= TOP_LEVEL


def docstrings(file):
    """The text and the line of every docstring of a file, those of constants too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value, node.lineno


@pytest.mark.parametrize("package", ["bgbias", "study", "search_spaces"])
def test_docstrings_begin_with_a_noun_or_an_imperative(package):
    """Such as "Number of pictures" and "Return True if ...", not "How many pictures" and "Whether ..."."""
    found = [
        f"{file.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for file in sorted((ROOT / package).rglob("*.py"))
        for text, line in docstrings(file)
        if QUESTION.match(text)
    ]
    assert found == []


def test_a_docstring_that_begins_with_a_question_is_found(tmp_path):
    (tmp_path / "module.py").write_text('"""Numbers."""\n\nA = 1\n"""What."""\n\n\ndef f():\n    """Whether."""\n')
    assert [QUESTION.match(text) is not None for text, _ in docstrings(tmp_path / "module.py")].count(True) == 2
