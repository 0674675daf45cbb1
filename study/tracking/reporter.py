"""Reporting to MLflow: the study puts messages in an outbox, a process of its own sends them. Training never waits.

One parent run per study, one child run per trial, found again by their tags `study_id` and `trial_id`, so a
study that is resumed goes on in the same runs. Sending a message twice changes nothing.

    Reporter -> Outbox (a file) -> Delivery (in the sender's process) -> MlflowWriter -> MLflow
"""

import json
from pathlib import Path
from typing import Any

from bgbias.errors import SettingError
from study.record.selection import Row
from study.tracking.outbox import Outbox
from study.tracking.passwords import without_password

STUDY, TRIAL, METRICS, END, ARTIFACTS, CHAMPION = "study", "trial", "metrics", "end", "artifacts", "champion"
TAGS, EXPERIMENT_TAGS = "tags", "experiment_tags"

TRAINING_EXPERIMENT = {"mlflow.experimentKind": "custom_model_development"}
"""Lets MLflow's dashboard open an experiment on its training runs."""

EXPERIMENT_PLACE, RUN_PLACE = "{experiment}", "{run}"
"""What stands in a tag for the ids that only MLflow knows."""

TAG_PARENT = "mlflow.parentRunId"
TAG_STUDY = "study_id"
TAG_TRIAL = "trial_id"
TAG_VALIDATION = "val_accuracy"
TAG_DATASET = "dataset_settings"

SERVERS = ("http:", "https:", "databricks")
SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")


def check_tracking(uri: str | None) -> None:
    """Whether MLflow can be reached at such an address at all, and no password in it would be written down.

    Raises:
        SettingError: its scheme is none of MLflow's, or it holds a password.
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


def filled(text: str, places: dict[str, str]) -> str:
    """A text with every place replaced by what stands there."""
    for place, value in places.items():
        text = text.replace(place, value)
    return text


class Reporter:
    """What a study puts in its outbox. Every message names the experiment, so each can be sent alone."""

    def __init__(self, outbox_file: Path, experiment: str, study_id: str) -> None:
        self._outbox = Outbox(outbox_file)
        self._experiment, self._study = experiment, study_id

    def study(self, name: str, params: dict[str, Any], tags: dict[str, str]) -> None:
        """The study begins, or goes on."""
        self._put(STUDY, study_id=self._study, name=name, params=params, tags=tags)

    def trial(self, trial_id: str, name: str, params: dict[str, Any], tags: dict[str, str]) -> None:
        """A trial begins, or goes on."""
        self._put(TRIAL, trial_id=trial_id, study_id=self._study, name=name, params=params, tags=tags)

    def metrics(self, trial_id: str, epoch: int, metrics: dict[str, float]) -> None:
        """An epoch's metrics, unless it or a later one was reported before."""
        body = {"experiment": self._experiment, TAG_TRIAL: trial_id, "epoch": epoch, "metrics": metrics}
        self._outbox.put_next(trial_id, epoch, METRICS, **body)

    def summary(self, trial_id: str, metrics: dict[str, float]) -> None:
        """What a trial came to, unless that was reported before.

        It is logged at step 0: MLflow draws what has no later step as bars, one a run.
        """
        body = {"experiment": self._experiment, TAG_TRIAL: trial_id, "epoch": 0, "metrics": metrics}
        self._outbox.put_next(f"{trial_id}/summary", 0, METRICS, **body)

    def end_trial(self, trial_id: str, status: str) -> None:
        """A trial's end: FINISHED, FAILED or KILLED."""
        self._put(END, id=trial_id, tag=TAG_TRIAL, status=status)

    def end_study(self, status: str) -> None:
        """The study's end."""
        self._put(END, id=self._study, tag=TAG_STUDY, status=status)

    def trial_artifacts(self, trial_id: str, folder: Path, path: str) -> None:
        """A folder to keep with a trial's run."""
        self._put(ARTIFACTS, id=trial_id, tag=TAG_TRIAL, folder=str(folder), path=path)

    def study_artifacts(self, folder: Path, path: str) -> None:
        """A folder to keep with the study's run."""
        self._put(ARTIFACTS, id=self._study, tag=TAG_STUDY, folder=str(folder), path=path)

    def tag_trial(self, trial_id: str, tags: dict[str, str]) -> None:
        """Tags of a trial's run that are known later than the run."""
        self._put(TAGS, id=trial_id, tag=TAG_TRIAL, tags=tags)

    def tag_study(self, tags: dict[str, str]) -> None:
        """Tags of the study's run. In them `EXPERIMENT_PLACE` and `RUN_PLACE` stand for what MLflow numbers the two."""
        self._put(TAGS, id=self._study, tag=TAG_STUDY, tags=tags)

    def tag_experiment(self, tags: dict[str, str]) -> None:
        """Tags of the experiment. In them `EXPERIMENT_PLACE` stands for its number."""
        self._put(EXPERIMENT_TAGS, tags=tags)

    def champion(self, model: str, row: Row, path: str) -> None:
        """A trial's artifact that is the best of this study for a variant, which becomes the alias."""
        dataset = {key: value for key, value in row.config.items() if key.startswith("dataset/")}
        found = {TAG_TRIAL: row.trial, TAG_VALIDATION: row.val_accuracy, TAG_DATASET: json.dumps(dataset)}
        self._put(CHAMPION, model=model, alias=row.variant, path=path, **found)

    def close(self) -> None:
        """Nothing more will be put."""
        self._outbox.close()

    def _put(self, kind: str, **body: Any) -> None:
        self._outbox.put(kind, experiment=self._experiment, **body)
