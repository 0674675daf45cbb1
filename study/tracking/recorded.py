"""Messages made from a study's record, for one trial or for the whole study again."""

from collections.abc import Sequence

from bgbias.data.datasets import datasets
from study.record.divergence import DIVERGED, divergence
from study.record.folder import CONFIRM, REPEAT, SEARCH, StudyFolder
from study.record.objectives import objectives_of
from study.record.selection import Trial, summary
from study.tracking.reporter import Reporter


def report_all(reporter: Reporter, folder: StudyFolder) -> None:
    """Report everything that is recorded of all trials. MLflow is changed only where it lacks something."""
    objectives = objectives_of(folder.read_config())
    for trial in (*folder.trials(SEARCH), *folder.trials(REPEAT), *folder.trials(CONFIRM)):
        report_trial(reporter, folder.name, trial)
        for report in trial.epochs:
            reporter.epoch(trial.trial_id, report)
        if trial.finished:
            report_end(reporter, trial, objectives, trial.ended)
        else:
            reporter.end_trial(trial.trial_id, "FAILED" if folder.has_failed(trial.trial_id) else "KILLED")


def report_trial(reporter: Reporter, study: str, trial: Trial) -> None:
    """Report that a trial begins, or continues."""
    reporter.trial(trial.trial_id, trial.name, trial.config, {"study": study, **trial_tags(trial)}, trial.started)


def report_end(reporter: Reporter, trial: Trial, objectives: Sequence[str], at: int | None) -> None:
    """Report what a finished trial came to."""
    gaps = datasets.find(trial.config["dataset/name"]).gaps
    reporter.summary(trial.trial_id, summary(trial.history, gaps, objectives), at)
    if reason := divergence(trial.history):
        reporter.tag_trial(trial.trial_id, {DIVERGED: reason})
    reporter.end_trial(trial.trial_id, "FINISHED", at)


def trial_tags(trial: Trial) -> dict[str, str]:
    """The tags that trials are found and grouped by in MLflow."""
    return {
        "method": trial.config["method/name"],
        "dataset": trial.config["dataset/name"],
        "seed": str(trial.config["seed"]),
        "stage": trial.stage,
        "space": trial.space,
        **trial.origin,
    }
