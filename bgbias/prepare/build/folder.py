"""A build's output folder: what is finished, what it is a build of, and nothing else in it.

    <variant>/..., fg_mask/..., bg_challenge/...   as `bgbias.data.photographs.layout` says
    files.sha256                                   every one of these files, as `sha256sum` writes it
    manifest.json                                  written last: a folder that has one is whole
    .build/                                        while the build is going on:
        head.json                                  what is being built
        verdicts.jsonl                             a line for each source that was evaluated
        masks/<class>/<name>.npy                   of those that are kept

Hidden entries, which no reader of a dataset folder looks at, may lie beside.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bgbias.data.photographs import layout, listing
from bgbias.errors import DataError, SettingError
from bgbias.files import sha256
from bgbias.prepare.build.files import write
from bgbias.prepare.build.parallel import parallel
from bgbias.prepare.build.settings import Head
from bgbias.prepare.build.sources import Source

MANIFEST, CHECKSUMS = "manifest.json", "files.sha256"
UNFINISHED = ".build"
"""Is there while a build is going on."""
PARTS = frozenset({*layout.VARIANTS, layout.FG_MASK, layout.UNMASKED, layout.RELEASE})
RECORDS = frozenset({CHECKSUMS, f"{CHECKSUMS}.partial", f"{MANIFEST}.partial"})

Manifest = dict[str, Any]
SourceVerdict = dict[str, Any]
"""`source` and, of a kept one, `box` (and `rough`, the box of its mask in train and val,
or None, where that has another quality); of a rejected one, `rule` and `value`; of one that cannot be used, `fault`.
Of the first two also `odd`, what is odd about a given mask."""


class BuildFolder:
    """Reads and writes one output folder.

    parts: the entries of the finished folder, beside its checksums and manifest
    """

    def __init__(self, root: Path, parts: frozenset[str] = PARTS) -> None:
        self.root, self.parts = root, parts
        self._state = root / UNFINISHED
        self._head = self._state / "head.json"
        self._verdicts = self._state / "verdicts.jsonl"

    def mask(self, source: Source) -> Path:
        """File of the mask of a kept source, until its split is drawn."""
        return self._state / "masks" / source.class_name / f"{source.name}.npy"

    def rough_mask(self, source: Source) -> Path:
        """File of the mask of another quality of a kept source, if there is one, until its split is drawn."""
        return self._state / "rough" / source.class_name / f"{source.name}.npy"

    def whole(self, head: Head) -> Manifest | None:
        """The manifest where the build is whole, or None where there is work to do.

        Raises:
            SettingError: the folder holds another build, or files of no build.
        """
        if (self.root / MANIFEST).is_file():
            manifest: Manifest = _read_json(self.root / MANIFEST)
            self._compare(manifest.get("build"), head)
            return manifest
        if self._head.is_file():
            self._compare(_read_json(self._head), head)
            self._refuse_unexpected_files(self.parts | RECORDS)
        elif self.root.exists():
            self._refuse_unexpected_files(frozenset())
        return None

    def _compare(self, mine: Any, asked: Head) -> None:
        if mine == asked:
            return
        known = _flat(mine) if isinstance(mine, dict) else {}
        name, value = next((item for item in _flat(asked).items() if known.get(item[0]) != item[1]), ("", None))
        raise SettingError(
            f"an output folder holds one build, but {self.root} has {name} = {known.get(name)} and {name} = {value} "
            "was asked for: give another --out, or remove this one"
        )

    def _refuse_unexpected_files(self, own: frozenset[str]) -> None:
        if not self.root.is_dir():
            raise SettingError(f"--out must be a folder, but {self.root} is a file: give another --out")
        for entry in listing.entries(self.root):
            if entry.name not in own:
                raise SettingError(
                    f"--out must be empty or hold the same build, but {self.root} holds '{entry.name}': "
                    "give another --out, or move it away"
                )

    @contextmanager
    def begun(self, head: Head) -> Iterator[None]:
        """Record what is being built, and keep every other process from building here meanwhile.

        Raises:
            SettingError: one is building here.
        """
        self._state.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._state / "lock", timeout=0):
                write(self._head, _json(head))
                yield
        except Timeout:
            raise SettingError(f"another process is building in {self.root}: wait for its end") from None

    def verdicts(self) -> dict[str, SourceVerdict]:
        """Read the record of each source, by its key; a last line that was cut short is dropped."""
        if not self._verdicts.exists():
            return {}
        lines, newline, _ = self._verdicts.read_bytes().rpartition(b"\n")
        self._verdicts.write_bytes(lines + newline)
        return {verdict["source"]: verdict for verdict in map(json.loads, lines.splitlines())}

    @contextmanager
    def recording(self) -> Iterator[Callable[[SourceVerdict], None]]:
        """Gives a function that records a verdict."""
        with self._verdicts.open("a", encoding="utf-8", buffering=1) as lines:

            def record(verdict: SourceVerdict) -> None:
                lines.write(json.dumps(verdict) + "\n")

            yield record

    def finish(self, head: Head, about: dict[str, Any], expected: set[Path], workers: int) -> Manifest:
        """Write the checksums, then the manifest, which says that the build is whole.

        Args:
            about: what else the manifest says.
            expected: every file of the variants and masks.

        Raises:
            DataError: a file is missing or does not belong here.
        """
        found = {file for part in self.parts for file in listing.files_below(self.root / part)}
        found |= {self.root / part for part in self.parts if (self.root / part).is_file()}
        for file in sorted(expected ^ found):
            problem = "is missing: build again" if file in expected else "is not of this build: move it away"
            raise DataError(f"{file} {problem}, then the same command continues")
        files = sorted(file.relative_to(self.root).as_posix() for file in expected)
        sums = parallel(lambda file: sha256(self.root / file), files, workers, "checksums")
        listed = "".join(f"{digest}  {file}\n" for digest, file in zip(sums, files, strict=True)).encode()
        write(self.root / CHECKSUMS, listed)
        summary = {"number": len(files), "sha256": hashlib.sha256(listed).hexdigest()}
        manifest = {"build": head, **about, "files": summary}
        write(self.root / MANIFEST, _json(manifest))
        shutil.rmtree(self._state)
        return manifest


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except ValueError:
        raise SettingError(f"{file} is damaged: give another --out, or remove its folder") from None


def _flat(head: Head, prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in head.items():
        flat |= _flat(value, f"{prefix}{name}/") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
