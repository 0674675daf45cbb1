"""Callbacks at a trial's events, in the driver: record it, keep its checkpoints, report it, show it.

Ray pickles callbacks, so `setup` opens their files.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from ray.tune import Callback
from ray.tune.experiment import Trial as RayTrial
from rich.markup import escape
from rich.progress import Progress, TimeElapsedColumn

from bgbias.errors import CheckpointError
from study.cluster.ray_internals import try_again
from study.display import console, counted, measured, progress_columns, rounded, show_line
from study.record.divergence import divergence
from study.record.epoch import EpochReport, history_from_json
from study.record.folder import CONFIRM, StudyFolder
from study.record.provenance import now
from study.record.selection import Kept, Trial, score, values_of, worth_keeping
from study.record.storage import Storage
from study.search.trainable import ENVIRONMENT, EPOCH, REPORTS, SETTINGS, TRIAL, VALUES, Environment, Result
from study.tracking.recorded import report_end, report_trial
from study.tracking.reporter import Reporter
from study.training.trial_store import TrialStore

FAILURES = 3
"""Attempts in a row without a new epoch, after which a trial has failed."""


class Recorder(Callback):  # type: ignore[misc]
    """Writes each trial into the study's folder and its outbox, and keeps the winners' checkpoints."""

    def __init__(
        self, root: Path, stage: str, space: str, objectives: Sequence[str], experiment: str, study_id: str
    ) -> None:
        self._given = (root, stage, space, objectives, experiment, study_id)

    def __getstate__(self) -> dict[str, object]:
        return {"_given": self._given}

    def setup(self, **info: object) -> None:  # noqa: ARG002
        """Open the folder and the outbox."""
        root, self._stage, self._space, self._objectives, experiment, study_id = self._given
        self._folder = StudyFolder(root)
        self._reporter = Reporter(self._folder.outbox, experiment, study_id)
        self._keeping = self._folder.finished(self._stage, self._space)
        self._running: dict[str, Trial] = {}
        self._failures: dict[str, int] = {}
        self._aside = ThreadPoolExecutor(1)

    def on_trial_start(self, trial: RayTrial, **info: object) -> None:  # noqa: ARG002
        """Repair the trial's record after an interruption, and report its start."""
        name = trial.config[TRIAL]
        self._folder.repair_trial(name)
        self._running[name] = self._folder.trial(name)
        report_trial(self._reporter, self._folder.name, self._running[name])

    def on_trial_result(self, trial: RayTrial, result: Result, **info: object) -> None:  # noqa: ARG002
        """Record and report a new epoch, and what is new of earlier ones."""
        name = trial.config[TRIAL]
        for report in history_from_json(str(result[REPORTS])):
            self._record(name, report)

    def _record(self, name: str, report: EpochReport) -> None:
        """Record and report what is new of an epoch. Trained again after an interruption, it has the same numbers."""
        record = self._running[name]
        known = record.epochs[report.epoch - 1] if report.epoch <= len(record.epochs) else None
        if known is None:
            new = report = replace(report, at=now())
            self._failures[name] = 0
        else:
            report = replace(report, at=known.at)
            found = {metric: value for metric, value in report.metrics.items() if metric not in known.metrics}
            new = replace(report, metrics=found, tables={})
        if new.metrics:
            self._folder.add_epoch(name, report)
            self._reporter.epoch(name, new)
            epochs = [*record.epochs[: report.epoch - 1], report, *record.epochs[report.epoch :]]
            self._running[name] = replace(record, epochs=epochs)

    def on_trial_recover(self, trial: RayTrial, **info: object) -> None:  # noqa: ARG002
        """Let Ray restart a trial, unless it failed `FAILURES` times without a new epoch."""
        name = trial.config[TRIAL]
        self._failures[name] = self._failures.get(name, 0) + 1
        try_again(trial, self._failures[name] < FAILURES)

    def on_trial_complete(self, trial: RayTrial, **info: object) -> None:  # noqa: ARG002
        """Keep the trial's checkpoints where they are best, and report its end."""
        record = self._running.pop(trial.config[TRIAL])
        rivals = [*self._keeping, record]
        kept = self._kept(rivals)
        store = TrialStore(Storage(Environment.from_json(trial.config[ENVIRONMENT]).storage), record.trial_id)
        try:
            self._folder.keeper(self._stage).offer(record, store.fetch, kept)
        except (CheckpointError, OSError) as error:
            self._fail(record.trial_id, str(error))
            return
        keeping = {found.trial for found in kept}
        self._keeping = [rival for rival in rivals if rival.trial_id in keeping]
        at = now()
        self._folder.finish_trial(record.trial_id, at)
        report_end(self._reporter, record, self._objectives, at)
        self._aside.submit(store.delete)  # a state that cannot be deleted now is deleted at the study's end

    def on_trial_error(self, trial: RayTrial, **info: object) -> None:  # noqa: ARG002
        """Record and report a failure."""
        if trial.config[TRIAL] not in self._running:
            self.on_trial_start(trial)  # it failed before it could start
        self._fail(trial.config[TRIAL], Path(trial.error_file).read_text())

    def on_experiment_end(self, trials: list[RayTrial], **info: object) -> None:  # noqa: ARG002
        """Report trials that are still running as stopped, and close the outbox."""
        for trial in trials:
            if trial.config[TRIAL] in self._running and not trial.is_finished():
                self._reporter.end_trial(trial.config[TRIAL], "KILLED")
        self._reporter.close()
        self._aside.shutdown()

    def _kept(self, rivals: Sequence[Trial]) -> set[Kept]:
        """In a search the best checkpoints of all trials, in a confirmation the best of each trial."""
        if self._stage != CONFIRM:
            return worth_keeping(rivals, self._objectives)
        return {kept for rival in rivals for kept in worth_keeping([rival], self._objectives)}

    def _fail(self, name: str, reason: str) -> None:
        self._folder.fail_trial(name, reason)
        self._reporter.end_trial(name, "FAILED")


class Watcher(Callback):  # type: ignore[misc]
    """Shows a progress bar, and each finished trial's objectives in one line."""

    def __init__(
        self, root: Path, stage: str, space: str, objectives: Sequence[str], trials: int, searched: tuple[str, ...]
    ) -> None:
        self._given = (root, stage, space, objectives, trials, searched)

    def __getstate__(self) -> dict[str, object]:
        return {"_given": self._given}

    def setup(self, **info: object) -> None:  # noqa: ARG002
        """Start the progress bar at the trials finished so far."""
        root, stage, space, self._objectives, total, self._searched = self._given
        self._folder = StudyFolder(root)
        self._title = f"{stage} {space}"
        finished = self._folder.finished(stage, space)
        self._what = "mean" if stage == CONFIRM else "best"  # the best of several seeds would only be the luckiest
        self._summary: list[float] = []
        self._finished = 0
        for recorded in finished:
            self._add(values_of(recorded.history, self._objectives))
        self._running: dict[str, int] = {}
        self._progress = Progress(*progress_columns(TimeElapsedColumn()), console=console)
        self._task = self._progress.add_task(self._title, total=total, completed=len(finished))
        self._progress.start()

    def on_trial_result(self, trial: RayTrial, result: Result, **info: object) -> None:  # noqa: ARG002
        """Show the trial's epoch."""
        self._running[trial.trial_id] = int(result[EPOCH])
        self._show()

    def on_trial_complete(self, trial: RayTrial, **info: object) -> None:  # noqa: ARG002
        """Print the trial's objectives, epochs and searched settings."""
        settings, result = json.loads(trial.config[SETTINGS]), trial.last_result
        values = json.loads(result[VALUES])
        self._add(values)
        searched = " ".join(f"{key.split('/')[-1]}={rounded(settings[key])}" for key in self._searched)
        history = self._folder.trial(trial.config[TRIAL]).history
        reason = f", [yellow]diverged: {why}[/]" if (why := divergence(history)) else ""
        show_line(
            f"[dim]{self._title}[/] {self._shown(values)} after {counted(int(result[EPOCH]), 'epoch')}{reason}"
            f"  [dim]{escape(searched)}[/]",
            self._progress.console,
        )
        self._end(trial)

    def on_trial_error(self, trial: RayTrial, **info: object) -> None:  # noqa: ARG002
        """Print why the trial failed."""
        reason = Path(trial.error_file).read_text().strip().splitlines()[-1]
        show_line(
            f"[red]{self._title}: trial {trial.config[TRIAL]} failed:[/] {escape(reason)}",
            self._progress.console,
        )
        self._end(trial)

    def on_experiment_end(self, trials: list[RayTrial], **info: object) -> None:  # noqa: ARG002
        """Stop the progress bar."""
        self._progress.stop()

    def _end(self, trial: RayTrial) -> None:
        self._running.pop(trial.trial_id, None)
        self._progress.advance(self._task)
        self._show()

    def _show(self) -> None:
        epochs = f"  epoch {' '.join(map(str, self._running.values()))}" if self._running else ""
        summary = ", ".join(map(measured, self._objectives, self._summary))
        shown = f"  {self._what} {summary}" if summary else ""
        self._progress.update(self._task, description=f"{self._title}{shown}{epochs}")

    def _add(self, values: Sequence[float]) -> None:
        """Include a finished trial's objectives in the best, or in the mean, which costs the same after any number."""
        self._finished += 1
        if not self._summary:
            self._summary = list(values)
        elif self._what == "mean":
            self._summary = [m + (v - m) / self._finished for m, v in zip(self._summary, values, strict=True)]
        elif self._score(values) > self._score(self._summary):
            self._summary = list(values)

    def _score(self, values: Sequence[float]) -> float:
        first = self._objectives[0]
        return score({first: values[0]}, first)

    def _shown(self, values: Sequence[float]) -> str:
        return ", ".join(f"{m} {measured(m, value)}" for m, value in zip(self._objectives, values, strict=True))
