"""Write messages into an MLflow store. Writing a message twice changes nothing.

A request may have succeeded although its answer was lost, so before something is created, it is searched for.
"""

import logging
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from bgbias.metrics import TEST
from bgbias.table import Table
from study.record.epoch import Metrics
from study.tracking.messages import (
    EXPERIMENT_PLACE,
    RUN_PLACE,
    SERVERS,
    TAG_STUDY,
    AnyMessage,
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
from study.tracking.outbox import Posted
from study.tracking.passwords import without_password
from study.tracking.table_picture import table_picture

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run
    from mlflow.entities.model_registry import ModelVersion

VALUES_PER_CALL, VERSIONS = 1000, 10_000
"""MLflow takes, and gives, no more at a time."""

ANSWER_SECONDS = 30
"""Time that a server may take to answer, unless `MLFLOW_HTTP_REQUEST_TIMEOUT` is set."""

TAG_PARENT = "mlflow.parentRunId"
TAG_VALIDATION = "val_accuracy"
TAG_DATASET = "dataset_settings"

TRAINING_EXPERIMENT = {"mlflow.experimentKind": "custom_model_development"}
"""Lets MLflow's dashboard open an experiment on its training runs."""

NO_CAUSE = re.compile(r"autoflush|\(None\)|^\s*(\[SQL:|\[parameters:|\(Background on )")
"""Lines of SQLAlchemy's errors that say nothing of what happened."""

ALREADY_THERE = "RESOURCE_ALREADY_EXISTS"
RETRYABLE = (401, 403, 408, 429)

TWICE = re.compile(r"UNIQUE constraint failed|UniqueViolation|[Dd]uplicate (key|entry)")
"""Messages of SQLite, PostgreSQL, MySQL and SQL Server to the later of two writers of one row."""

DELETED = "deleted"


class RefusedError(Exception):
    """MLflow finds what a message holds wrong, or its run is gone: sending it again cannot help."""


class ExperimentError(Exception):
    """MLflow refuses the experiment, or it was deleted: nothing can be sent before that is changed."""


class NoRunError(Exception):
    """No run has the tag that is looked for."""


def refuses(error: Exception) -> bool:
    """Return True if MLflow refused the request itself, so that sending it again cannot help."""
    from mlflow.exceptions import MlflowException

    if not isinstance(error, MlflowException):
        return False
    if TWICE.search(str(error)):
        return False
    status = int(error.get_http_status_code())  # type: ignore[no-untyped-call]
    return 400 <= status < 500 and status not in RETRYABLE and error.error_code != ALREADY_THERE


class MlflowWriter:
    """Applies messages to an MLflow store. Several threads may apply messages of different runs."""

    def __init__(self, tracking_uri: str, artifacts: Path) -> None:
        """Connect to a store.

        Args:
            tracking_uri: of MLflow.
            artifacts: folder for artifacts if the store is a database, without an artifact server.
        """
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"  # MLflow's own would make a run twice
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(ANSWER_SECONDS))
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        from mlflow import MlflowClient  # takes seconds to import

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._client = MlflowClient(tracking_uri=tracking_uri)
        self._artifacts = None if tracking_uri.startswith(SERVERS) else artifacts.as_uri()
        self._runs: dict[RunKey, str] = {}
        self._found: dict[str, dict[str, set[int]]] = {}
        self._experiment = ""
        self._finding = threading.Lock()

    def apply(self, call: list[Posted]) -> None:
        """Apply messages of one run, either epochs or a single one of another kind.

        Raises:
            RefusedError: sending them again cannot help.
            Exception: anything else, after which they can be sent again.
        """
        first = call[0].message
        self.open(first.experiment)
        try:
            self._apply(call)
        except Exception as error:
            makes_a_run = isinstance(first, StudyBegan | TrialBegan)
            if not isinstance(error, NoRunError) and (makes_a_run or not refuses(error)):
                raise
            self._check_experiment(self._client.get_experiment(self._experiment))
            self._runs.clear()  # one of them may have been deleted
            raise RefusedError(str(error)) from None

    def _apply(self, call: list[Posted]) -> None:
        epochs = [(posted.message, posted.sent_at) for posted in call if isinstance(posted.message, EpochEnded)]
        if epochs:
            self._epochs(epochs)
        else:
            (posted,) = call
            self._apply_one(posted.message, posted.sent_at)

    def _apply_one(self, message: AnyMessage, sent_at: int) -> None:
        match message:
            case StudyBegan():
                self._ensure_run(message, sent_at, {})
            case TrialBegan():
                self._ensure_run(message, sent_at, {TAG_PARENT: self._run(message.study)})
            case Ended():
                self._end(message, sent_at)
            case Artifacts():
                self._client.log_artifacts(self._run(message.run), message.folder, message.path)
            case Tags():
                self._tags(message)
            case ExperimentTags():
                for key, value in message.tags.items():
                    tag = filled(value, {EXPERIMENT_PLACE: self._experiment})
                    self._client.set_experiment_tag(self._experiment, key, tag)
            case Champion():
                self._champion(message)

    def _epochs(self, epochs: list[tuple[EpochEnded, int]]) -> None:
        """Log epochs of one trial, which were reported at the times beside them."""
        from mlflow.entities import Metric

        run = self._run(epochs[0][0].run)
        parts = [
            (part, message.report.epoch, at) for message, at in epochs for part in in_parts(message.report.metrics)
        ]
        there = self._steps(run, {last(part) for part, _, _ in parts})
        values = [
            Metric(key, value, sent_at, epoch)
            for part, epoch, sent_at in parts
            for key, value in part.items()
            if epoch not in there[last(part)]
        ]
        for start in range(0, len(values), VALUES_PER_CALL):
            self._client.log_batch(run, metrics=values[start : start + VALUES_PER_CALL])
        for message, sent_at in epochs:
            for name, table in message.report.tables.items():
                self._table(run, name, table, message.report.epoch, sent_at)

    def _steps(self, run: str, metrics: set[str]) -> dict[str, set[int]]:
        """By metric, the epochs that a run had of it when this process found it."""
        if run not in self._found:
            return {metric: set() for metric in metrics}
        known = self._found[run]
        for metric in metrics - known.keys():
            known[metric] = {value.step for value in self._client.get_metric_history(run, metric)}
        return known

    def _table(self, run: str, name: str, table: Table, epoch: int, sent_at: int) -> None:
        """Log a table as an image of the epoch, and then its values, which show that the image is there."""
        file = f"tables/{name}/{epoch}.json"
        if any(found.path == file for found in self._client.list_artifacts(run, f"tables/{name}")):
            return
        self._client.log_image(run, table_picture(table), key=name, step=epoch, timestamp=sent_at, synchronous=True)
        self._client.log_dict(run, table.to_json(), file)

    def _end(self, message: Ended, sent_at: int) -> None:
        run = self._run(message.run)
        self._client.set_terminated(run, message.status, end_time=sent_at)
        for other in self._search(message.run):
            if other.info.run_id != run and not _holds(other):  # a server that hung made it when nobody waited for it
                self._client.delete_run(other.info.run_id)

    def _tags(self, message: Tags) -> None:
        from mlflow.entities import RunTag

        run = self._run(message.run)
        places = {EXPERIMENT_PLACE: self._experiment, RUN_PLACE: run}
        tags = [RunTag(key, filled(value, places)) for key, value in message.tags.items()]
        self._client.log_batch(run, tags=tags)

    def _champion(self, message: Champion) -> None:
        """Register a checkpoint; its alias stays with a holder of the same dataset settings and no lower accuracy."""
        self._ensure_model(message.model)
        holder = self._holder(message.model, message.alias)
        comparable = holder is not None and holder.get(TAG_DATASET) == message.dataset
        if holder is not None and comparable and float(holder[TAG_VALIDATION]) >= message.val_accuracy:
            return
        version = self._ensure_version(message)
        self._client.set_registered_model_alias(message.model, message.alias, version.version)
        self._settle(message.model, message.alias, message.dataset)

    def _settle(self, model: str, alias: str, dataset: str) -> None:
        """Give an alias to the best version of a dataset's settings, which another study may just have registered."""
        while True:
            versions = self._client.search_model_versions(f"name = '{model}'", max_results=VERSIONS)
            rivals = [v for v in versions if (v.tags.get("variant"), v.tags.get(TAG_DATASET)) == (alias, dataset)]
            best = max(rivals, key=lambda v: (float(v.tags[TAG_VALIDATION]), -int(v.version)))
            if self._client.get_model_version_by_alias(model, alias).version == best.version:
                return
            self._client.set_registered_model_alias(model, alias, best.version)

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != ALREADY_THERE:
                raise

    def _holder(self, model: str, alias: str) -> dict[str, str] | None:
        """The tags of the version that holds an alias."""
        from mlflow.exceptions import MlflowException

        try:
            tags: dict[str, str] = self._client.get_model_version_by_alias(model, alias).tags
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            return None
        return tags

    def _ensure_version(self, message: Champion) -> "ModelVersion":
        run = self._run(message.run)
        source = f"runs:/{run}/{message.path}"
        for version in self._client.search_model_versions(f"name = '{message.model}' and run_id = '{run}'"):
            if version.source == source:
                return version
        tags = {TAG_VALIDATION: repr(message.val_accuracy), TAG_DATASET: message.dataset, "variant": message.alias}
        return self._client.create_model_version(message.model, source=source, run_id=run, tags=tags)

    def open(self, experiment: str) -> None:
        """Find the experiment, or make it.

        Raises:
            ExperimentError: MLflow refuses it, or it was deleted.
        """
        with self._finding:
            if self._experiment:
                return
            try:
                found = self._client.get_experiment_by_name(experiment)
                opened = found.experiment_id if found else self._create_experiment(experiment)
            except Exception as error:
                if not refuses(error):
                    raise
                reason = f"MLflow refuses the experiment '{experiment}' ({first_line(error)})"
                raise ExperimentError(f"{reason}: give another --experiment or --tracking-uri") from None
            if found:
                self._check_experiment(found)
            self._experiment = opened

    def _check_experiment(self, experiment: "Experiment") -> None:
        if experiment.lifecycle_stage == DELETED:
            raise ExperimentError(
                f"the experiment '{experiment.name}' was deleted in MLflow: restore it (`mlflow experiments restore "
                f"--experiment-id {experiment.experiment_id}`) or give another --experiment"
            )

    def _create_experiment(self, name: str) -> str:
        created: str = self._client.create_experiment(name, self._artifacts, tags=TRAINING_EXPERIMENT)
        return created

    def _ensure_run(self, message: StudyBegan | TrialBegan, sent_at: int, tags: dict[str, str]) -> None:
        """Make a run, or let it continue. Parameters it has stay as they are: MLflow does not allow changing them."""
        from mlflow.entities import Param

        key = message.run
        found = self._search(key)
        if found:
            run = found[0]
            self._found.setdefault(run.info.run_id, {})
            self._client.update_run(run.info.run_id, status="RUNNING")
        else:
            own = {**message.tags, **tags, key.tag: key.value}
            run = self._client.create_run(self._experiment, start_time=sent_at, run_name=message.name, tags=own)
        self._runs[key] = run.info.run_id
        params = [Param(name, str(value)) for name, value in message.params.items() if name not in run.data.params]
        try:
            self._client.log_batch(run.info.run_id, params=params)
        except Exception as error:
            raise RefusedError(str(error)) if refuses(error) else error from None

    def _run(self, key: RunKey) -> str:
        """The id of a run.

        Raises:
            NoRunError: there is none.
        """
        if key not in self._runs:
            found = self._search(key)
            if not found:
                raise NoRunError(f"no run has the tag {key.tag}={key.value}")
            self._runs[key] = found[0].info.run_id
            self._found.setdefault(found[0].info.run_id, {})
        return self._runs[key]

    def _search(self, key: RunKey) -> "list[Run]":
        """The runs with a tag, the one that holds most first."""
        wanted = f"tags.{key.tag} = '{key.value}'"
        if key.study is not None:
            wanted += f" and tags.`{TAG_PARENT}` = '{self._run(RunKey(TAG_STUDY, key.study))}'"
        found = self._client.search_runs([self._experiment], wanted)
        return sorted(found, key=_holds, reverse=True)


def in_parts(metrics: Metrics) -> list[Metrics]:
    """An epoch's metrics in parts that are known at one time: those of test data may come later than the others."""
    tested = {name: value for name, value in metrics.items() if name.startswith(f"{TEST}/")}
    others = {name: value for name, value in metrics.items() if name not in tested}
    return [part for part in (others, tested) if part]


def last(part: Metrics) -> str:
    """The metric of a part that is logged last: where it is, all others are."""
    return next(reversed(part))


def filled(text: str, places: dict[str, str]) -> str:
    """A text with every place replaced by what stands there."""
    for place, value in places.items():
        text = text.replace(place, value)
    return text


def _holds(run: "Run") -> int:
    """Count the metrics and parameters of a run."""
    return len(run.data.metrics) + len(run.data.params)


def first_line(error: BaseException) -> str:
    """The first line of an error, or of what it was raised from, that says what happened, without passwords."""
    found: BaseException | None = error
    while found is not None:
        for line in without_password(str(found)).splitlines():
            if line.strip() and not NO_CAUSE.search(line):
                return line.strip()
        found = found.__cause__ or found.__context__
    return type(error).__name__
