"""Findings of a check of a dataset folder."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bgbias.prepare.build.folder import CHECKSUMS, MANIFEST


@dataclass(frozen=True)
class Finding:
    """A problem, and the files or folders that have it."""

    problem: str
    where: list[str]


@dataclass(frozen=True)
class CheckReport:
    """The result of checking a dataset folder.

    counts:   files by split, part and class; of a table, pictures by split, place and class
    findings: what makes the folder unsound
    remarks:  what a user should know, but may be meant
    counted:  what the counts of a split are by
    """

    counts: dict[str, dict[str, dict[str, int]]]
    findings: list[Finding]
    remarks: list[Finding]
    counted: Literal["part", "place"] = "part"

    @property
    def is_sound(self) -> bool:
        """Nothing was found."""
        return not self.findings


class Findings:
    """Collects where each problem was seen, in the order the problems came up."""

    def __init__(self) -> None:
        self._where: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, problem: str, where: Iterable[str]) -> None:
        """Add places that have a problem; none add nothing."""
        for place in where:
            self._where[problem].append(place)

    def found(self) -> list[Finding]:
        """All of them."""
        return [Finding(problem, where) for problem, where in self._where.items()]


def check_checksums(findings: Findings, root: Path, digests: Mapping[str, str]) -> None:
    """Compare files with the checksums that a build wrote beside them, if there are any.

    Args:
        digests: by name below the root, the SHA-256 of every file.
    """
    file, is_built = root / CHECKSUMS, (root / MANIFEST).is_file()
    if not file.is_file():
        if is_built:
            findings.add("is missing", [CHECKSUMS])
        return
    data = file.read_bytes()
    lines = [line.partition("  ") for line in data.decode(errors="replace").split("\n") if line]
    listed = {name: digest for digest, _, name in lines}
    changed = [name for name, digest in digests.items() if name in listed and listed[name] != digest]
    findings.add(f"does not have the checksum that {CHECKSUMS} lists", changed)
    findings.add(f"is not listed in {CHECKSUMS}", [name for name in digests if name not in listed])
    findings.add(f"is listed in {CHECKSUMS} but missing", [name for name in listed if name not in digests])
    if is_built and _manifest_digest(root) != hashlib.sha256(data).hexdigest():
        findings.add(f"does not have the checksum that {MANIFEST} gives", [CHECKSUMS])


def _manifest_digest(root: Path) -> Any:
    try:
        return json.loads((root / MANIFEST).read_bytes())["files"]["sha256"]
    except (ValueError, KeyError, TypeError):
        return None
