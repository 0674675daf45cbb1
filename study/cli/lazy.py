"""A group of commands that imports a command's module when the command is run."""

import sys
from importlib import import_module
from itertools import takewhile
from typing import Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from study.cli.without_torch import without_torch
from study.display import no_color

HELP = "--help"


def help_style() -> Literal["rich"] | None:
    """Boxes and colours on a terminal; plain text in files and pipes, for screen readers, and under NO_COLOR."""
    return "rich" if sys.stdout.isatty() and not no_color() else None


class LazyCommand(TyperCommand):
    """A command's name and help, without its module."""

    def __init__(self, name: str, place: str, help_: str) -> None:
        """Describe a command.

        Args:
            name: the word users type.
            place: `<module>:<function>`, or `<module>:<app>` for a `typer.Typer` of its own.
            help_: the line that the group's help shows.
        """
        super().__init__(name, callback=None, help=help_, rich_markup_mode=help_style())
        self._place = place

    def get_short_help_str(self, limit: int = 0) -> str:  # noqa: ARG002
        """The whole line: the group's help wraps it instead of cutting it."""
        return self.help or ""

    def load(self) -> Any:
        """Import the command's module and build the command with all its options."""
        module, _, attribute = self._place.partition(":")
        found = getattr(import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            app = typer.Typer(add_completion=False)
            app.command(self.name)(found)
            found = app
        found.rich_markup_mode = help_style()
        command = get_command(found)
        command.name = self.name
        return command


class LazyGroup(TyperGroup):
    """A group whose help and completion of names need no command's module."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that the arguments name, and load it; with `--help`, show its help and exit.

        Raises:
            UsageError: there is none.
        """
        name, command, rest = super().resolve_command(ctx, args)
        if not isinstance(command, LazyCommand):
            return name, command, rest
        if HELP in takewhile(lambda word: word != "--", rest):
            words = [*takewhile(lambda word: not word.startswith("-"), rest), HELP]
            path = f"{ctx.command_path} {name}"
            without_torch(lambda: command.load().main(words, path, standalone_mode=False))
            raise typer.Exit
        return name, command.load(), rest
