"""Rules and tests of large studies, from their records on disk.

    .venv/bin/python tests/benchmarks/comparing.py

Writes a record of many trials whose numbers are drawn at random, reads it as `study rules` does and applies every rule.
"""

import resource
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from bgbias.table import Table
from study.record.config import StudyConfig
from study.record.epoch import EpochReport
from study.record.folder import SEARCH, StudyFolder
from study.report.choosing import rule_rows

METRICS = ("accuracy", "balanced_accuracy", "worst_class_accuracy", "worst_group_accuracy")


def main(
    trials: Annotated[int, typer.Option(help="trials of the study")] = 1000,
    epochs: Annotated[int, typer.Option(help="of each trial")] = 20,
    variants: Annotated[int, typer.Option(help="beside original")] = 2,
) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = StudyFolder(Path(root) / "study")
        write(folder, trials, epochs, ["original", "shuffled", *(f"variant_{n}" for n in range(variants - 1))])
        rule_rows(folder.read_config(), folder.finished(SEARCH, tables=False)[:1])  # imports torch
        size = sum(file.stat().st_size for file in folder.root.glob("trials/*/*"))
        started = time.perf_counter()
        found = folder.finished(SEARCH, tables=False)
        read = time.perf_counter() - started
        rows = rule_rows(folder.read_config(), found)
        seconds = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"{trials} trials of {epochs} epochs, {size / 1e6:.0f} MB: read in {read:.1f} s, {len(rows)} rules applied"
        )
        print(f"{seconds:.1f} s in all, {memory:.2f} GB at most")


def write(folder: StudyFolder, trials: int, epochs: int, variants: list[str]) -> None:
    """A finished study's record: metrics at random, and the tables that a dataset of ten classes has."""
    rng, names = np.random.default_rng(0), [str(n) for n in range(10)]
    folder.create(StudyConfig(spaces=("erm",), trials=trials, epochs=epochs))
    table = Table.of(rng.integers(0, 99, (10, 11)).tolist(), names, [*names, "none"])
    keys = [f"{split}/{variant}" for split in ("val", "test") for variant in variants]
    tables = {f"{key}/{what}": table for key in keys for what in ("count", "correct")}
    for number in range(1, trials + 1):
        name = f"{number:08x}"
        folder.start_trial(name, number, "erm", SEARCH, {"method/name": "erm", "seed": 0})
        for epoch in range(1, epochs + 1):
            metrics = {f"{key}/{metric}": float(rng.random()) for key in keys for metric in METRICS}
            folder.add_epoch(name, EpochReport(epoch, metrics, tables, at=epoch))
        folder.finish_trial(name)


if __name__ == "__main__":
    typer.run(main)
