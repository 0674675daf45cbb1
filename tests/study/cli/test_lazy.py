"""Helps and lists answer at once, since they import no torch."""

import inspect
import os
import subprocess
import sys

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from typer.exceptions import TyperException
from typer.main import get_command

from study.cli import lists
from study.cli.lazy import LazyCommand
from study.cli.main import COMMANDS, app

LARGE = (
    "torch",
    "ray",
    "scipy",
    "sklearn",
    "torchvision",
    "timm",
    "mlflow",
    "optuna",
    "plotly",
    "pydantic",
)
AFTERWARDS = """
import sys
sys.argv = ["study", *{arguments!r}]
from study.__main__ import command, isolate
from study.cli.main import app
app(standalone_mode=False)
print("imported:", *sorted(set({large!r}) & set(sys.modules)), file=sys.stderr)
"""


def run(arguments, **environment):
    """A command in a process of its own; the large packages it imported."""
    program = AFTERWARDS.format(arguments=arguments, large=LARGE)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ | environment
    )
    return ended.stdout, ended.stderr.split("imported:")[1].split()


def test_help_imports_no_large_package_and_names_every_command():
    printed, imported = run(["--help"], NO_COLOR="1", COLUMNS="80")
    assert imported == []
    assert all(f"\n  {name} " in printed for name in COMMANDS)
    assert max(map(len, printed.splitlines())) <= 80
    assert printed.isascii(), "no box characters where the output is no terminal"


@pytest.mark.parametrize(("command", "make"), [("spaces", lists.spaces), ("datasets", lists.list_datasets)])
def test_lists_are_the_same_without_torch(command, make, capsys):
    printed, imported = run([command])
    assert set(imported) <= {"optuna", "pydantic"}
    make()  # in this process, with torch
    assert printed == capsys.readouterr().out


@pytest.mark.parametrize(
    ("distribution", "text"),
    [
        (CategoricalDistribution([32, 64, None]), "32, 64, None"),
        (FloatDistribution(5e-4, 5e-3, log=True), "0.0005 to 0.005, log"),
        (FloatDistribution(0.0, 1.0, step=0.25), "0.0 to 1.0, step 0.25"),
        (IntDistribution(1, 4), "1 to 4"),
    ],
)
def test_ranges_of_settings_are_listed_in_words(distribution, text):
    assert lists.domain(distribution) == text


def test_help_of_a_command_imports_no_torch_and_wins_over_an_option_that_would_take_it():
    printed, imported = run(["run", "erm", "--dataset", "--help"], NO_COLOR="1", COLUMNS="80")
    assert set(imported) <= {"optuna", "pydantic"}
    assert printed.startswith("Usage: ")
    assert " run [OPTIONS] [SPACE]..." in printed


def test_a_component_that_computes_with_torch_when_it_is_imported_is_listed_with_torch(tmp_path):
    (tmp_path / "computing.py").write_text("import torch\n\nTHREE = int(torch.ones(3).sum())\n")
    program = (
        "from study.cli.without_torch import without_torch\n"
        "def make():\n    import computing\n    return computing.THREE\n"
        "print(without_torch(make))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    assert subprocess.check_output([sys.executable, "-c", program], text=True, env=environment) == "3\n"


@pytest.fixture(scope="module")
def loaded():
    group = get_command(app)
    assert all(isinstance(command, LazyCommand) for command in group.commands.values())
    return {name: command.load() for name, command in group.commands.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_groups_help_says_what_the_commands_own_help_begins_with(loaded, name):
    command = loaded[name]
    assert command.name == name
    assert inspect.cleandoc(command.help).split("\n\n")[0].replace("\n", " ") == COMMANDS[name][1]


def test_an_unknown_command_is_answered_with_a_near_name():
    with pytest.raises(TyperException, match="'resume'"):
        app(["resum"], standalone_mode=False)


def test_the_shell_completes_the_names_of_commands():
    environment = {"_STUDY_COMPLETE": "complete_bash", "COMP_WORDS": "study re", "COMP_CWORD": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", "from study.cli.main import app; app(prog_name='study')"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert ended.stdout.split() == ["resume", "report"]
