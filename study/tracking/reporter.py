"""Reporting to MLflow: the study puts messages into an outbox, and a process of its own sends them.

Each study is a parent run and each of its trials a child run. Their tags `study_id` and `trial_id` identify them, so a
resumed study continues in the same runs. Sending a message twice changes nothing.

    Reporter -> Outbox (a file) -> Delivery (in the sender's process) -> MlflowWriter -> MLflow
"""

import json
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from bgbias.errors import SettingError
from bgbias.metrics import LEARNED
from study.record.epoch import EpochReport, Metrics
from study.record.selection import Row
from study.settings import Settings
from study.tracking.messages import (
    TAG_STUDY,
    TAG_TRIAL,
    Artifacts,
    Champion,
    Ended,
    EpochEnded,
    ExperimentTags,
    RunKey,
    StudyBegan,
    Tags,
    TrialBegan,
)
from study.tracking.outbox import Outbox
from study.tracking.passwords import without_password

SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")


def check_tracking(uri: str | None) -> None:
    """Refuse an address that MLflow cannot have, and one with a password, which would be written to disk.

    Raises:
        SettingError: the scheme is none of MLflow's, or the address holds a password.
    """
    if uri is None:
        return
    shown = without_password(uri)
    if uri.partition(":")[0].partition("+")[0] not in SCHEMES:
        raise SettingError(f"--tracking-uri must begin with one of {', '.join(SCHEMES)}, but got '{shown}'")
    if uri != shown:
        raise SettingError(
            f"--tracking-uri must hold no password, but got '{shown}': give a server's by MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, PostgreSQL's by PGPASSWORD or a PGPASSFILE, MySQL's by ?read_default_file=FILE"
        )


class Reporter:
    """Puts a study's messages into its outbox.

    `at` is the time of an event, in milliseconds since 1970; None is now. A message that is sent twice with the same
    time changes nothing.
    """

    def __init__(self, outbox_file: Path, experiment: str, study_id: str) -> None:
        self._outbox = Outbox(outbox_file)
        self._experiment, self._study = experiment, RunKey(TAG_STUDY, study_id)

    def anew(self) -> AbstractContextManager[None]:
        """Replace all messages in the outbox by those that the block reports."""
        return self._outbox.refilled()

    def study(self, name: str, params: Settings, tags: dict[str, str]) -> None:
        """Report that the study begins, or continues."""
        self._outbox.put(StudyBegan(self._experiment, self._study, name, params, tags))

    def trial(self, trial_id: str, name: str, params: Settings, tags: dict[str, str], at: int | None = None) -> None:
        """Report that a trial begins, or continues."""
        self._outbox.put(TrialBegan(self._experiment, self._trial(trial_id), self._study, name, params, tags), at)

    def epoch(self, trial_id: str, report: EpochReport) -> None:
        """Report a trial's epoch with its method's learned tables; counts of groups stay in the study's record."""
        learned = {name: table for name, table in report.tables.items() if name.startswith(LEARNED)}
        self._outbox.put(
            EpochEnded(self._experiment, self._trial(trial_id), replace(report, tables=learned)), report.at
        )

    def summary(self, trial_id: str, metrics: Metrics, at: int | None = None) -> None:
        """Report a trial's final metrics at step 0: MLflow draws metrics without a later step as bars, one per run."""
        self.epoch(trial_id, EpochReport(0, metrics, at=at))

    def end_trial(self, trial_id: str, status: str, at: int | None = None) -> None:
        """Report a trial's end: FINISHED, FAILED or KILLED."""
        self._outbox.put(Ended(self._experiment, self._trial(trial_id), status), at)

    def end_study(self, status: str, at: int | None = None) -> None:
        """Report the study's end."""
        self._outbox.put(Ended(self._experiment, self._study, status), at)

    def trial_artifacts(self, trial_id: str, folder: Path, path: str) -> None:
        """Attach a folder to a trial's run."""
        self._outbox.put(Artifacts(self._experiment, self._trial(trial_id), str(folder), path))

    def study_artifacts(self, folder: Path, path: str) -> None:
        """Attach a folder to the study's run."""
        self._outbox.put(Artifacts(self._experiment, self._study, str(folder), path))

    def tag_trial(self, trial_id: str, tags: dict[str, str]) -> None:
        """Add tags to a trial's run."""
        self._outbox.put(Tags(self._experiment, self._trial(trial_id), tags))

    def tag_study(self, tags: dict[str, str]) -> None:
        """Add tags to the study's run; their texts may hold the placeholders of `study.tracking.messages`."""
        self._outbox.put(Tags(self._experiment, self._study, tags))

    def tag_experiment(self, tags: dict[str, str]) -> None:
        """Add tags to the experiment; their texts may hold the placeholder of its id."""
        self._outbox.put(ExperimentTags(self._experiment, tags))

    def champion(self, model: str, row: Row, path: str) -> None:
        """Report the checkpoint that is the study's best on a variant; its model gets the variant's alias."""
        dataset = json.dumps({key: value for key, value in row.config.items() if key.startswith("dataset/")})
        run = self._trial(row.trial)
        self._outbox.put(Champion(self._experiment, run, model, row.variant, path, row.val_accuracy, dataset))

    def close(self) -> None:
        """Close the outbox; nothing more can be reported."""
        self._outbox.close()

    def _trial(self, trial_id: str) -> RunKey:
        return RunKey(TAG_TRIAL, trial_id, self._study.value)
