"""What the driver does at each of a trial's events: record it, keep its checkpoints, report it, show it.

Ray stores callbacks with its own state and brings them back on resume, so what they open is opened in `setup`.
"""

import shutil
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial as RayTrial
from ray.tune.result import TRAINING_ITERATION
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bgbias.metrics import TEST, TRAIN, VALIDATION
from study.display import console, percent
from study.folder import SEARCH, StudyFolder
from study.provenance import trial_tags
from study.selection import Metrics, each_ones_best, highest_accuracy, summary, winners
from study.tracking import Reporter
from study.trainable import EPOCHS, run_config

METRIC_PREFIXES = (f"{TRAIN}/", f"{VALIDATION}/", f"{TEST}/")


SUMMARY_STEP = 0
"""Where a trial's summary is logged: MLflow draws what has no later step as bars, one a run."""


class Recorder(Callback):  # type: ignore[misc]
    """Writes each trial into the study's folder and its outbox, and keeps the winners' checkpoints."""

    def __init__(self, root: Path, stage: str, space: str, experiment: str, study_id: str) -> None:
        self._given = (root, stage, space, experiment, study_id)

    def __getstate__(self) -> dict[str, Any]:
        return {"_given": self._given}

    def setup(self, **info: Any) -> None:  # noqa: ARG002
        root, self._stage, self._space, experiment, study_id = self._given
        self._folder = StudyFolder(root)
        self._reporter = Reporter(self._folder.outbox, experiment, study_id)
        self._keeping = self._folder.finished(self._stage, self._space)
        self._epochs: dict[str, int] = {}

    def on_trial_start(self, trial: RayTrial, **info: Any) -> None:  # noqa: ARG002
        settings = run_config(trial.config).to_flat()
        self._folder.start_trial(trial.trial_id, self._space, self._stage, settings)
        record = self._folder.trial(trial.trial_id)
        self._epochs[trial.trial_id] = len(record.history)
        tags = {"study": self._folder.name, **trial_tags(settings, self._stage, self._space)}
        self._reporter.trial(trial.trial_id, f"{self._space}-{record.number:04d}", settings, tags)

    def on_trial_result(self, trial: RayTrial, result: dict[str, Any], **info: Any) -> None:  # noqa: ARG002
        epoch, metrics = result[TRAINING_ITERATION], own_metrics(result)
        if epoch <= self._epochs[trial.trial_id]:
            return  # trained again after an interruption, to the same numbers
        self._reporter.metrics(trial.trial_id, epoch, metrics)
        self._folder.add_epoch(trial.trial_id, epoch, metrics)
        self._epochs[trial.trial_id] = epoch

    def on_trial_complete(self, trial: RayTrial, **info: Any) -> None:  # noqa: ARG002
        record = self._folder.trial(trial.trial_id)
        rivals = [*self._keeping, record]
        rows = winners(rivals) if self._stage == SEARCH else each_ones_best(rivals)
        checkpoints = Path(trial.checkpoint.path)
        self._folder.keeper(self._stage).offer(record, checkpoints / EPOCHS, rows)
        keeping = {row.trial for row in rows}
        self._keeping = [rival for rival in rivals if rival.trial_id in keeping]
        self._folder.finish_trial(trial.trial_id)
        self._reporter.metrics(trial.trial_id, SUMMARY_STEP, summary(record.history))
        self._reporter.end_trial(trial.trial_id, "FINISHED")
        empty(checkpoints)

    def on_trial_error(self, trial: RayTrial, **info: Any) -> None:  # noqa: ARG002
        self.on_trial_start(trial)  # it may have failed before it could start
        self._folder.fail_trial(trial.trial_id, Path(trial.error_file).read_text())
        self._reporter.end_trial(trial.trial_id, "FAILED")

    def on_experiment_end(self, trials: list[RayTrial], **info: Any) -> None:  # noqa: ARG002
        for trial in trials:
            if trial.trial_id in self._epochs and not trial.is_finished():
                self._reporter.end_trial(trial.trial_id, "KILLED")
        self._reporter.close()


class Watcher(Callback):  # type: ignore[misc]
    """Shows how far the trials are, and each one's result on the objective's variant."""

    def __init__(self, root: Path, stage: str, space: str, objective: str, trials: int) -> None:
        self._given = (root, stage, space, objective, trials)

    def __getstate__(self) -> dict[str, Any]:
        return {"_given": self._given}

    def setup(self, **info: Any) -> None:  # noqa: ARG002
        root, stage, space, self._objective, total = self._given
        self._folder = StudyFolder(root)
        self._title = f"{stage} {space}"
        finished = self._folder.finished(stage, space)
        self._best = max((highest_accuracy(t.history, self._objective) for t in finished), default=0.0)
        self._running: dict[str, int] = {}
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console)
        self._task = self._progress.add_task(self._title, total=total, completed=len(finished))
        self._progress.start()

    def on_trial_result(self, trial: RayTrial, result: dict[str, Any], **info: Any) -> None:  # noqa: ARG002
        self._running[trial.trial_id] = result[TRAINING_ITERATION]
        self._show()

    def on_trial_complete(self, trial: RayTrial, **info: Any) -> None:  # noqa: ARG002
        record = self._folder.trial(trial.trial_id)
        found = highest_accuracy(record.history, self._objective)
        self._best = max(self._best, found)
        searched = " ".join(f"{key.split('/')[-1]}={_short(value)}" for key, value in trial.evaluated_params.items())
        self._progress.console.print(
            f"[dim]{self._title}[/] {percent(found)} on {self._objective} (validation)"
            f" after {len(record.history)} epochs  [dim]{escape(searched)}[/]",
            soft_wrap=True,
        )
        self._end(trial)

    def on_trial_error(self, trial: RayTrial, **info: Any) -> None:  # noqa: ARG002
        reason = Path(trial.error_file).read_text().strip().splitlines()[-1]
        self._progress.console.print(
            f"[red]{self._title}: trial {trial.trial_id} failed:[/] {escape(reason)}", soft_wrap=True
        )
        self._end(trial)

    def on_experiment_end(self, trials: list[RayTrial], **info: Any) -> None:  # noqa: ARG002
        self._progress.stop()

    def _end(self, trial: RayTrial) -> None:
        self._running.pop(trial.trial_id, None)
        self._progress.advance(self._task)
        self._show()

    def _show(self) -> None:
        running = f"  running at epoch {' '.join(map(str, self._running.values()))}" if self._running else ""
        self._progress.update(self._task, description=f"{self._title}  best {percent(self._best)}{running}")


def own_metrics(result: dict[str, Any]) -> Metrics:
    """The run's own metrics among everything Ray adds."""
    return {key: value for key, value in result.items() if key.startswith(METRIC_PREFIXES)}


def empty(folder: Path) -> None:
    """Delete a finished trial's checkpoints; the winners' have been kept elsewhere."""
    shutil.rmtree(folder / EPOCHS, ignore_errors=True)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
