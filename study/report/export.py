"""A study's selected configurations and the predictions of its kept checkpoints, as tables that other tools read."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from bgbias.checkpoint import CLASSES, MODEL, read_description, read_predictions
from bgbias.data.dataset import NOWHERE
from bgbias.errors import SettingError
from bgbias.files import CHECKSUMS
from bgbias.metrics import COUNT, TEST, VALIDATION
from bgbias.types import NO_BACKGROUND
from study.record.folder import CONFIRM, REPEAT, SEARCH, StudyFolder
from study.record.objectives import objectives_of
from study.record.selection import Kept, Trial, winners, worth_keeping

PARQUET, CSV = ".parquet", ".csv"
SELECTED = "-selected"
"""Suffix of the name of the file of configurations, after the predictions' name."""


@dataclass(frozen=True)
class Exported:
    """The two files, and how many rows each has."""

    predictions: Path
    selected: Path
    images: int
    checkpoints: int


@dataclass(frozen=True)
class KeptCheckpoint:
    """A kept checkpoint: its trial's epoch, and the variants and objectives whose validation values chose it."""

    trial: Trial
    epoch: int
    chosen_by: tuple[str, ...]
    path: Path


def export(folder: StudyFolder, out: Path) -> Exported:
    """Write one row for each image, variant and kept checkpoint into `out`, and beside it one row for each checkpoint.

    The columns of the first: study, space, method, stage, trial, seed, epoch, selected, split, variant, image, label,
    prediction, correct, place, group. `selected` names the variants whose validation accuracy chose the checkpoint, or
    the objectives where no variant did; `image` is the position in the variant, from 0; `place` is the class of the
    background, or `none`; `group` is `<label> on <place>`.

    Raises:
        SettingError: the file's name ends neither in .parquet nor in .csv, it is a folder, or no trial has finished.
    """
    if out.suffix not in (PARQUET, CSV) or out.is_dir():
        what = "a folder" if out.is_dir() else f"'{out.name}'"
        raise SettingError(f"an export must be a file that ends in {PARQUET} or {CSV}, but got {what}: rename it")
    found = kept_checkpoints(folder)
    if not found:
        raise SettingError(f"no trial of {folder.root} has finished: continue with `study resume`")
    out.parent.mkdir(parents=True, exist_ok=True)
    selected = out.with_name(f"{out.stem}{SELECTED}{out.suffix}")
    parts = (part for kept in found for part in prediction_tables(folder.name, kept))
    images = write(parts, out)
    write([selected_table(folder.name, found)], selected)
    return Exported(out, selected, images, len(found))


def kept_checkpoints(folder: StudyFolder) -> list[KeptCheckpoint]:
    """Every checkpoint that the study keeps, once.

    The best of each search on every variant and objective, its front, and the same of each fresh seed.
    """
    objectives = objectives_of(folder.read_config())
    found = []
    for stage in (SEARCH, REPEAT, CONFIRM):
        trials = folder.finished(stage)
        for rivals in [[trial] for trial in trials] if stage == CONFIRM else [trials]:
            by_id = {trial.trial_id: trial for trial in rivals}
            chosen = [(Kept(row.space, row.trial, row.epoch), row.variant) for row in winners(rivals)]
            for kept in sorted(worth_keeping(rivals, objectives), key=lambda kept: (by_id[kept.trial].number, kept)):
                variants = [variant for own, variant in chosen if own == kept]
                path = folder.keeper(stage).path(*kept)
                found.append(KeptCheckpoint(by_id[kept.trial], kept.epoch, tuple(variants or objectives), path))
    return found


def prediction_tables(study: str, kept: KeptCheckpoint) -> Iterator[pa.Table]:
    """A table for each variant of one checkpoint."""
    classes: Sequence[str] = read_description(kept.path)[CLASSES]
    about = _about(study, kept)
    for key, found in read_predictions(kept.path).items():
        split, _, variant = key.partition("/")
        label, prediction = found.label.numpy().astype(np.int64), found.prediction.numpy().astype(np.int64)
        place = None if found.place is None else found.place.numpy().astype(np.int64)
        places = place_names(kept.trial, variant, 0 if place is None else int(place.max()) + 1)
        labels = _named(label, classes)
        shown = pa.nulls(len(label), pa.string()) if place is None else _named(place, (*places, NOWHERE))
        yield pa.table(
            {
                **{name: pa.array([value] * len(label)).dictionary_encode() for name, value in about.items()},
                "split": pa.array([split] * len(label)).dictionary_encode(),
                "variant": pa.array([variant] * len(label)).dictionary_encode(),
                "image": np.arange(len(label)),
                "label": labels.dictionary_encode(),
                "prediction": _named(prediction, classes).dictionary_encode(),
                "correct": label == prediction,
                "place": shown.dictionary_encode(),
                "group": pa.compute.binary_join_element_wise(labels, shown, " on ").dictionary_encode(),
            }
        )


def place_names(trial: Trial, variant: str, count: int) -> tuple[str, ...]:
    """The names of the backgrounds' classes, read off a recorded table of groups; their numbers where there is none."""
    for report in reversed(trial.epochs):
        for split in (VALIDATION, TEST):
            table = report.tables.get(f"{split}/{variant}/{COUNT}")
            if table is not None:
                return tuple(name for name in table.columns if name != NOWHERE)
    return tuple(str(number) for number in range(count))


def _named(positions: "np.ndarray[Any, np.dtype[np.int64]]", names: Sequence[str]) -> pa.Array:
    """Names at positions; `NO_BACKGROUND` is the last."""
    taken = np.where(positions == NO_BACKGROUND, len(names) - 1, positions)
    return pa.array(list(names)).take(pa.array(taken))


def _about(study: str, kept: KeptCheckpoint) -> dict[str, Any]:
    return {
        "study": study,
        "space": kept.trial.space,
        "method": kept.trial.config["method/name"],
        "stage": kept.trial.stage,
        "trial": kept.trial.trial_id,
        "seed": kept.trial.config["seed"],
        "epoch": kept.epoch,
        "selected": ";".join(kept.chosen_by),
    }


def selected_table(study: str, found: Sequence[KeptCheckpoint]) -> pa.Table:
    """One row for each checkpoint: its settings, the SHA-256 of its weights, and its metrics at that epoch."""
    rows = [
        _about(study, kept)
        | {"checkpoint": str(kept.path), "weights_sha256": weights_hash(kept.path)}
        | {name: _plain(value) for name, value in kept.trial.config.items() if name != "seed"}
        | kept.trial.history[kept.epoch - 1]
        for kept in found
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def weights_hash(checkpoint: Path) -> str:
    """The SHA-256 of a checkpoint's weights, as it was written beside them."""
    sums: Mapping[str, str] = json.loads((checkpoint / CHECKSUMS).read_text())
    return sums[MODEL]


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def _column(values: Sequence[Any]) -> pa.Array:
    """A column of one type: text where values of several types meet."""
    there = {type(value) for value in values if value is not None}
    if there == {int, float}:
        return pa.array([None if value is None else float(value) for value in values])
    return pa.array(values if len(there) < 2 else [None if value is None else str(value) for value in values])


def write(tables: Iterable[pa.Table], out: Path) -> int:
    """Write tables of the same columns one after the other; how many rows they have."""
    kind = pa.parquet.ParquetWriter if out.suffix == PARQUET else pa.csv.CSVWriter
    rows, writer = 0, None
    try:
        for table in tables:
            plain = table if out.suffix == PARQUET else _decoded(table)
            writer = writer or kind(out, plain.schema)
            writer.write_table(plain)
            rows += len(table)
    finally:
        if writer is not None:
            writer.close()
    return rows


def _decoded(table: pa.Table) -> pa.Table:
    """A table with names instead of their positions, as text files need."""
    columns = {
        name: column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return pa.table(columns)
