"""A check that every node of a cluster can reach the storage, read the data and run the same code."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.markup import escape

from bgbias.data.dataset import DatasetSpec
from bgbias.errors import BgbiasError, CheckpointError, SettingError
from bgbias.files import write_checksums
from study.display import console, show_line
from study.record.config import StudyConfig
from study.record.provenance import sources, versions
from study.record.storage import Storage
from study.scratch import scratch, sweep
from study.training.run import cached_dataset

DRIVER, PROBES = "driver", "probes"
PATIENCE_SECONDS = 600.0
"""A node may have to decode all pictures of a dataset first."""


class Answer(NamedTuple):
    """A node's result of the check: the reason why it cannot run trials, or None; and its packages' versions."""

    problem: str | None
    versions: dict[str, str]


def check_nodes(config: StudyConfig, storage: str, dataset: DatasetSpec) -> None:
    """Ask every node that trials may run on. As a side effect each has its data at hand: fetched, decoded and kept.

    Raises:
        SettingError: the storage cannot be used from here, or a node cannot take part.
    """
    check_code(config)
    with storage_probe(storage) as probes:
        for name, answer in ask_all(config, storage, dataset):
            if answer.problem:
                raise SettingError(f"node {name} {answer.problem}")
            if name not in probes.names(PROBES):
                raise SettingError(f"node {name} {unreachable(storage, 'it writes somewhere else')}")
            differing = [f"{key} {value}" for key, value in answer.versions.items() if versions().get(key) != value]
            if differing:
                found = ", ".join(differing)
                show_line(f"[yellow]node {name} has other versions than here: {escape(found)}[/]")


@contextmanager
def storage_probe(storage: str) -> Iterator[Storage]:
    """The storage, holding a note of the driver's meanwhile.

    Raises:
        SettingError: it cannot be written from here.
    """
    opened = Storage(storage)
    try:
        write_note(opened, DRIVER)
    except OSError as error:
        raise SettingError(f"--storage {storage} cannot be used from here ({error}): fix it or give another") from None
    try:
        yield opened
    finally:
        opened.delete(PROBES)


def write_note(storage: Storage, name: str) -> None:
    """Show that the storage can be written."""
    with scratch() as note:
        write_checksums(note)
        storage.put(note, f"{PROBES}/{name}")


def check_code(config: StudyConfig) -> None:
    """Compare the code that workers import on every able node with this process's.

    Raises:
        SettingError: it differs, or lies in another folder of this machine.
    """
    for name, node in able_nodes(config).items():
        theirs, who = result_of(on_node(node, sources)), f"node {name}" if config.address else "Ray's workers"
        if isinstance(theirs, Answer):
            raise SettingError(f"{who} {theirs.problem}")
        for package, mine in sources().items():
            same = theirs[package] == mine if config.address is None else theirs[package][1] == mine[1]
            if not same:
                raise SettingError(
                    f"{who} would run another '{package}' ({theirs[package][0]}) than this command ({mine[0]}): "
                    "install the same version for both, and take other folders off PYTHONPATH"
                )


def able_nodes(config: StudyConfig) -> dict[str, str]:
    """The ids of the nodes that a trial fits on, by names to be shown."""
    nodes = [n for n in ray.nodes() if n["Alive"] and n["Resources"].get("CPU", 0.0) >= config.cpus_per_trial]
    return {f"{node['NodeManagerAddress']}-{node['NodeID'][:8]}": node["NodeID"] for node in nodes}


def on_node(node: str, function: Callable[..., Any], *given: Any) -> Any:
    """Call a function on a node; Ray's reference to what it returns."""
    strategy = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(function).options(num_cpus=0, scheduling_strategy=strategy).remote(*given)


def ask_all(config: StudyConfig, storage: str, dataset: DatasetSpec) -> list[tuple[str, Answer]]:
    """The name and answer of every able node but this machine, which trials have to themselves without a cluster."""
    if config.address is None:
        return []
    nodes = able_nodes(config)
    asked = {name: on_node(node, answer, name, storage, dataset, config) for name, node in nodes.items()}
    with console.status(f"asking {len(nodes)} nodes for their storage and data"):
        return [(name, result_of(question)) for name, question in asked.items()]


def result_of(question: Any) -> Any:
    """Return a node's result, or an `Answer` with the reason why there is none."""
    try:
        return ray.get(question, timeout=PATIENCE_SECONDS)
    except (RayError, ImportError) as error:
        reason = str(error).strip().splitlines()[-1]
        return Answer(f"cannot run this project ({reason}): install the same version of it there", {})


def answer(name: str, storage: str, dataset: DatasetSpec, config: StudyConfig) -> Answer:
    """Run the check on a node: write to the storage and read the data."""
    sweep()
    try:
        opened = Storage(storage)
        with scratch() as note:
            opened.get(f"{PROBES}/{DRIVER}", note / "note")
        write_note(opened, name)
    except CheckpointError:
        return Answer(unreachable(storage, "what the driver wrote is not there"), versions())
    except (SettingError, OSError) as error:
        return Answer(unreachable(storage, str(error)), versions())
    try:
        found = cached_dataset(dataset, config.data).classes
    except (BgbiasError, OSError) as error:
        return Answer(f"cannot read the data: {error}", versions())
    if config.classes not in (None, found):
        classes = " and ".join(", ".join(names) for names in (found, config.classes or ()))
        return Answer(f"has other classes in its data than the driver, {classes}: give all the same data", versions())
    return Answer(None, versions())


def unreachable(storage: str, reason: str) -> str:
    """Make the message of a node that cannot reach the storage."""
    return f"does not reach the storage {storage} ({reason}): give a --storage that all nodes share"
