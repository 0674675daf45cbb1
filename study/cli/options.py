"""Options that several commands share."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from pydantic.fields import FieldInfo

from bgbias.errors import SettingError

SAME_COMMAND = "the same command continues"
"""Advice after a stop, for a command that continues its own work."""
NEW_FOLDER = "a new one in ./outputs"
"""The default of folders that a command writes."""

Data = Annotated[Path | None, typer.Option("--data", help="folder of the dataset's source files")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]
Threads = Annotated[int, typer.Option(min=1, help="torch threads; with 1, like most trials, results repeat to the bit")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output")]
MasksFrom = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        help="box, grabcut, FILE.onnx, or a segmentation model of torchvision with --masks-weights",
        show_default="given masks, or GrabCut in boxes",
    ),
]
MasksWeights = Annotated[
    Path | None, typer.Option(metavar="FILE", help="weights of the segmentation model: .safetensors or .pt")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="set a setting, such as weight=0.1; may be repeated"),
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="the study's folder")]

Command = Callable[..., None]


def png_file(out: Path | None) -> Path | None:
    """The callback of an option for a picture's file.

    Raises:
        SettingError: its name has another ending.
    """
    if out is not None and out.suffix.lower() != ".png":
        raise SettingError(f"a picture's file must end in .png, but got {out}: give --out another name")
    return out


def options_of(config: type, *names: str, required: bool = True) -> Callable[[Command], Command]:
    """A decorator: the command's first parameter, a dict of values, becomes an option for each field of a dataclass.

    Args:
        names: fields; without them all that have a description, which is the option's help.
        required: whether the dict holds every field, with its default if the option was left out; or only those given.
    """
    kinds, hints = get_type_hints(config), get_type_hints(config, include_extras=True)
    helps = {item.name: help_ for item in fields(config) if (help_ := _help(hints[item.name]))}
    options = {
        item.name: _option(item, kinds[item.name], helps[item.name], required)
        for item in fields(config)
        if item.name in (names or helps)
    }

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_options(**values: Any) -> None:
            given = {name: values.pop(name) for name in options}
            command({name: value for name, value in given.items() if required or value is not None}, **values)

        own = list(inspect.signature(command).parameters.values())[1:]
        arguments = [item for item in own if item.default is item.empty]
        rest = [item for item in own if item.default is not item.empty]
        vars(with_options)["__signature__"] = inspect.Signature([*arguments, *options.values(), *rest])
        return with_options

    return decorate


def _option(item: "Field[Any]", kind: Any, help_: str, required: bool) -> inspect.Parameter:
    default = item.default if item.default_factory is MISSING else item.default_factory()
    kind = list[str] if get_origin(kind) is tuple else kind
    if not required:
        kind, default = kind | None, None
    repeated = (f"--{item.name.removesuffix('s')}",) if get_origin(kind) is list else ()
    option = typer.Option(default, *repeated, help=help_)
    return inspect.Parameter(item.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=option, annotation=kind)


def _help(hint: Any) -> str | None:
    return next((item.description for item in get_args(hint)[1:] if isinstance(item, FieldInfo)), None)
