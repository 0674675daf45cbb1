"""Whether every node of a cluster can do its part: reach the storage, read the data, run the same code."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.markup import escape

from bgbias.data.dataset import DatasetSpec
from bgbias.errors import BgbiasError, CheckpointError, SettingError
from bgbias.files import write_checksums
from study.display import console
from study.record.config import StudyConfig
from study.record.provenance import versions
from study.record.storage import Storage
from study.training.run import cached_dataset

DRIVER, PROBES = "driver", "probes"
PATIENCE_SECONDS = 600.0
"""A node may have to decode all pictures of a dataset first."""


class Answer(NamedTuple):
    """What a node says of itself: what keeps it from taking part, or None, and its packages' versions."""

    problem: str | None
    versions: dict[str, str]


def check_nodes(config: StudyConfig, storage: str, dataset: DatasetSpec) -> None:
    """Ask every node that trials may run on. As a side effect each has its data at hand: fetched, decoded and kept.

    Raises:
        SettingError: the storage cannot be used from here, or a node cannot take part.
    """
    with storage_probe(storage) as probes:
        for name, answer in ask_all(config, storage, dataset):
            if answer.problem:
                raise SettingError(f"node {name} {answer.problem}")
            if name not in probes.names(PROBES):
                raise SettingError(f"node {name} {unreachable(storage, 'it writes somewhere else')}")
            differing = [f"{key} {value}" for key, value in answer.versions.items() if versions().get(key) != value]
            if differing:
                found = ", ".join(differing)
                console.print(f"[yellow]node {name} has other versions than here: {escape(found)}[/]", soft_wrap=True)


@contextmanager
def storage_probe(storage: str) -> Iterator[Storage]:
    """The storage, holding a note of the driver's meanwhile.

    Raises:
        SettingError: it cannot be written from here.
    """
    opened = Storage(storage)
    try:
        leave_note(opened, DRIVER)
    except OSError as error:
        raise SettingError(f"--storage {storage} cannot be used from here ({error}): mend it or give another") from None
    try:
        yield opened
    finally:
        opened.delete(PROBES)


def leave_note(storage: Storage, name: str) -> None:
    """Show that the storage can be written."""
    with tempfile.TemporaryDirectory(prefix="bgbias-note-") as note:
        write_checksums(Path(note))
        storage.put(Path(note), f"{PROBES}/{name}")


def ask_all(config: StudyConfig, storage: str, dataset: DatasetSpec) -> list[tuple[str, Answer]]:
    """The name and answer of every able node but this machine, which trials have to themselves without a cluster."""
    if config.address is None:
        return []
    nodes = [n for n in ray.nodes() if n["Alive"] and n["Resources"].get("CPU", 0.0) >= config.cpus_per_trial]
    names = [f"{node['NodeManagerAddress']}-{node['NodeID'][:8]}" for node in nodes]
    asked = [
        ray.remote(answer)
        .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
        .remote(name, storage, dataset, config.data)
        for name, node in zip(names, nodes, strict=True)
    ]
    with console.status(f"asking {len(names)} nodes for their storage and data"):
        return [(name, heard(question)) for name, question in zip(names, asked, strict=True)]


def heard(question: Any) -> Answer:
    """A node's answer, or what became of it."""
    try:
        found: Answer = ray.get(question, timeout=PATIENCE_SECONDS)
    except (RayError, ImportError) as error:
        reason = str(error).strip().splitlines()[-1]
        return Answer(f"cannot run this project ({reason}): install the same version of it there", {})
    return found


def answer(name: str, storage: str, dataset: DatasetSpec, data: Path | None) -> Answer:
    """What a node finds when it tries; runs there."""
    try:
        opened = Storage(storage)
        with tempfile.TemporaryDirectory(prefix="bgbias-note-") as note:
            opened.get(f"{PROBES}/{DRIVER}", Path(note) / "note")
        leave_note(opened, name)
    except CheckpointError:
        return Answer(unreachable(storage, "what the driver wrote is not there"), versions())
    except (SettingError, OSError) as error:
        return Answer(unreachable(storage, str(error)), versions())
    try:
        cached_dataset(dataset, data)
    except (BgbiasError, OSError) as error:
        return Answer(f"cannot read the data: {error}", versions())
    return Answer(None, versions())


def unreachable(storage: str, reason: str) -> str:
    """What is wrong, and the way out."""
    return f"does not reach the storage {storage} ({reason}): give a --storage that all nodes share"
