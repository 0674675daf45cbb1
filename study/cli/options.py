"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path | None, typer.Option("--data", help="folder of the dataset's source files")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]
Threads = Annotated[int, typer.Option(min=1, help="torch threads; 1, as most trials have, repeats them to the bit")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output")]
