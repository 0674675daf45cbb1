"""A study's own MLflow store in a folder that was moved or copied: it names every artifact by its full path."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from study.record.config import StudyConfig
from study.record.folder import StudyFolder
from study.record.sqlite_uri import uri_of
from study.scratch import scratch

MOVED_EXPERIMENTS = "artifact_location LIKE '%/' || :name AND artifact_location != :place"
MOVED_RUNS = (
    "artifact_uri LIKE '%/' || :name || '/' || run_uuid || '/artifacts' "
    "AND artifact_uri != :place || '/' || run_uuid || '/artifacts'"
)


def relocate(database: Path, artifacts: Path) -> None:
    """Set the artifact folder of all runs of a store, wherever a folder of its name was before.

    A store that has this folder already, or does not exist, is not written to.

    Raises:
        sqlite3.OperationalError: the store must be changed, and cannot be written.
    """
    if not is_elsewhere(database, artifacts):
        return
    with closing(sqlite3.connect(database)) as store, store:
        places = {"name": artifacts.name, "place": artifacts.as_uri()}
        store.execute(f"UPDATE experiments SET artifact_location = :place WHERE {MOVED_EXPERIMENTS}", places)
        store.execute(
            f"UPDATE runs SET artifact_uri = :place || '/' || run_uuid || '/artifacts' WHERE {MOVED_RUNS}", places
        )


def is_elsewhere(database: Path, artifacts: Path) -> bool:
    """Return True if a store names another folder than this one for its artifacts."""
    if not database.exists():
        return False
    places = {"name": artifacts.name, "place": artifacts.as_uri()}
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as store:
        try:
            found = store.execute(
                f"SELECT EXISTS (SELECT 1 FROM experiments WHERE {MOVED_EXPERIMENTS}) "
                f"OR EXISTS (SELECT 1 FROM runs WHERE {MOVED_RUNS})",
                places,
            ).fetchone()
        except sqlite3.OperationalError:  # its tables were not made yet
            return False
    return bool(found[0])


@contextmanager
def readable(folder: StudyFolder, config: StudyConfig) -> Iterator[tuple[str, Path]]:
    """The URI of a study's MLflow store, to read from, and a folder that can be written: the study's own.

    Of a folder that cannot be written it is a copy of the store, since MLflow opens none that it cannot write, and a
    scratch folder, both for as long as the block lasts.
    """
    if os.access(folder.root, os.W_OK):
        if config.tracking_uri is None:
            relocate(folder.store, folder.own_artifacts)
        yield folder.tracking_uri(config), folder.root
        return
    uri = folder.tracking_uri(config)
    with scratch() as place:
        if config.tracking_uri is None and folder.store.exists():
            copy = shutil.copyfile(folder.store, place / folder.store.name)
            relocate(copy, folder.own_artifacts)
            uri = uri_of(copy)
        yield uri, place
