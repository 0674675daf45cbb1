"""Results of analyses of a checkpoint, stored beside it for the report of its study."""

import json
import os
from pathlib import Path
from typing import Any

from bgbias.files import atomically
from study.display import finite

CHALLENGE, SALIENCY, FLOW = "challenge.json", "saliency.json", "flow.json"
"""The files of `study evaluate --challenge`, `study saliency` and `study flow`."""


def leave(checkpoint: Path, name: str, found: dict[str, Any]) -> None:
    """Write what was found beside a checkpoint's files, where its folder can be written."""
    if os.access(checkpoint, os.W_OK):
        with atomically(checkpoint / name) as partial:
            partial.write_text(json.dumps(finite(found), allow_nan=False))


def left(checkpoint: Path, name: str) -> dict[str, Any] | None:
    """Read the result of an analysis beside a checkpoint's files; None if there is none, or it cannot be read."""
    try:
        found: dict[str, Any] = json.loads((checkpoint / name).read_text())
    except (OSError, ValueError):
        return None
    return found
