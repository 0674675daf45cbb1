"""Options of a command that are derived from a dataclass."""

from pathlib import Path
from typing import Annotated

import pytest
import typer
from pydantic import Field
from pydantic.dataclasses import dataclass
from typer.testing import CliRunner

from study.cli.options import options_of


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str = "not an option"
    trials: Annotated[int, Field(ge=1, description="trials of each space")] = 8
    folder: Annotated[Path | None, Field(description="a folder")] = None
    wanted: Annotated[tuple[str, ...], Field(description="names")] = ()
    early: Annotated[bool, Field(description="end early")] = True


def command(*names, **how):
    """A command with the options, and what it was called with."""
    seen = {}

    def keep(given: dict, more: Annotated[int, typer.Option(help="its own")] = 0) -> None:
        seen.update(given, more=more)

    app = typer.Typer()
    app.command()(options_of(Config, *names, **how)(keep))
    return lambda *arguments: (CliRunner().invoke(app, arguments), seen)


def test_every_described_field_is_an_option_with_its_default_and_help():
    shown, _ = command()("--help")
    for text in ("--trials", "trials of each space", "[default: 8]", "--no-early", "--folder", "--wanted", "--more"):
        assert text in shown.output
    assert "--name" not in shown.output
    _, seen = command()()
    assert seen == {"trials": 8, "folder": None, "wanted": [], "early": True, "more": 0}


def test_what_is_given_arrives_with_its_type():
    _, seen = command()("--trials", "3", "--folder", "x", "--wanted", "a", "--wanted", "b", "--no-early", "--more", "1")
    assert Config(**{name: seen[name] for name in ("trials", "folder", "wanted", "early")}) == Config(
        trials=3, folder=Path("x"), wanted=("a", "b"), early=False
    )
    assert seen["more"] == 1


@pytest.mark.parametrize(
    ("given", "kept"), [((), {}), (("--trials", "3"), {"trials": 3}), (("--early",), {"early": True})]
)
def test_a_command_may_take_some_of_them_and_see_only_what_was_given(given, kept):
    _, seen = command("trials", "early", required=False)(*given)
    assert seen == {**kept, "more": 0}
    shown, _ = command("trials", "early", required=False)("--folder", "x")
    assert shown.exit_code == 2
