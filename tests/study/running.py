"""Studies run as their users run them, in processes that can be watched and killed; and what came of them."""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mlflow import MlflowClient

from study.record.folder import SEARCH
from study.record.selection import winners

STUDY = str(Path(sys.executable).with_name("study"))
PATIENCE = 280
TRIALS = 3
OPTIONS = ("dynamic_replacement", "--trials", TRIALS, "--epochs", 6, "--max-concurrent", 1)
"""Of a study that is the same every time, since it runs one trial at a time."""


def run(*arguments, **options):
    """Run a command to its end; what it printed."""
    done = subprocess.run(
        [STUDY, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=PATIENCE, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def started(*arguments, **options):
    """A command that runs meanwhile, and is gone afterwards."""
    process = subprocess.Popen(
        [STUDY, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def wait_until(true, process=None):
    """Look again and again until something is true, as long as the process runs."""
    deadline = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < deadline, "waited too long"
        assert process is None or process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    return found


def trial_of(folder, number, epochs=1):
    """The search's trial of this number (from 1), once it has so many epochs."""
    return next(
        (t for t in folder.trials(SEARCH) if t.number == number and len(t.history) >= epochs and not t.finished), None
    )


def descendants(pid):
    """The processes below one, by their command lines."""
    found, rows = {}, {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            own, _, rest = status.read_text().partition(" ")
            parent = int(rest.rpartition(")")[2].split()[1])
            command = (status.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            rows[int(own)] = (parent, command)
    wanted = {pid}
    while True:
        more = {own for own, (parent, _) in rows.items() if parent in wanted and own not in wanted}
        if not more:
            return found
        wanted |= more
        found |= {own: rows[own][1] for own in more}


def kill_worker(pid):
    """SIGKILL for every worker process of Ray below a process that holds a trial."""
    workers = [
        own for own, command in descendants(pid).items() if command.startswith("ray::") and "Trainable" in command
    ]
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    return len(workers)


def numbers(history):
    """Metrics that must not depend on what happened: all but speed."""
    return [{key: value for key, value in m.items() if "images_per_second" not in key} for m in history]


def outcome(folder):
    """Results that no interruption may change: each trial's settings and epochs, and the best weights by variant."""
    trials = folder.finished(SEARCH)
    kept = {
        (row.variant, row.epoch): hashlib.sha256(
            (folder.checkpoint(row) / "model.safetensors").read_bytes()
        ).hexdigest()
        for row in winners(trials)
    }
    return [(trial.config, numbers(trial.history)) for trial in trials], kept


def check_mlflow(folder, trials):
    """MLflow holds one finished run for each trial under one parent, and every epoch of it once."""
    client = MlflowClient(folder.tracking_uri(folder.read_config()))
    experiment = client.get_experiment_by_name("colored-digits")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert len(runs) == 1 + trials
    assert {found.info.status for found in runs} == {"FINISHED"}
    for trial in folder.trials(SEARCH):
        (mine,) = [found for found in runs if found.data.tags.get("trial_id") == trial.trial_id]
        steps = [m.step for m in client.get_metric_history(mine.info.run_id, "val/shuffled/accuracy")]
        assert sorted(steps) == list(range(1, len(trial.history) + 1))
