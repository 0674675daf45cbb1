"""What each message becomes in an MLflow store. Applying a message twice changes nothing.

A request whose answer was lost may have been carried out, so whatever would be made twice is looked for first.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.tracking.outbox import Message
from study.tracking.reporter import (
    ARTIFACTS,
    CHAMPION,
    END,
    EXPERIMENT_PLACE,
    EXPERIMENT_TAGS,
    METRICS,
    RUN_PLACE,
    SERVERS,
    STUDY,
    TAG_DATASET,
    TAG_PARENT,
    TAG_STUDY,
    TAG_TRIAL,
    TAG_VALIDATION,
    TAGS,
    TRAINING_EXPERIMENT,
    TRIAL,
    filled,
)

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

VALUES_PER_CALL, VERSIONS = 1000, 10_000
"""MLflow takes, and gives, no more at a time."""

ANSWER_SECONDS = 30
"""How long a server may take to answer, unless `MLFLOW_HTTP_REQUEST_TIMEOUT` says otherwise."""

ALREADY_THERE = "RESOURCE_ALREADY_EXISTS"
RETRYABLE = (401, 403, 408, 429)


def hopeless(error: Exception) -> bool:
    """Whether sending again cannot help: the run is gone, or MLflow finds the request itself wrong."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        status = int(error.get_http_status_code())  # type: ignore[no-untyped-call]
        return 400 <= status < 500 and status not in RETRYABLE and error.error_code != ALREADY_THERE
    return isinstance(error, LookupError)


class MlflowWriter:
    """Applies messages to an MLflow store. Several threads may apply messages of different runs."""

    def __init__(self, tracking_uri: str, artifacts: Path) -> None:
        """
        Args:
            artifacts: folder for artifacts where the store is a database, without an artifact server.
        """
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"  # MLflow's own would make a run twice
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(ANSWER_SECONDS))
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        from mlflow import MlflowClient  # takes seconds to import

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._client = MlflowClient(tracking_uri=tracking_uri)
        self._artifacts = None if tracking_uri.startswith(SERVERS) else artifacts.as_uri()
        self._runs: dict[str, str] = {}
        self._experiment = ""
        self._finding = threading.Lock()
        self._handlers: dict[str, Callable[[Message], None]] = {
            STUDY: self._study,
            TRIAL: self._trial,
            END: self._end,
            ARTIFACTS: self._log_artifacts,
            CHAMPION: self._champion,
            TAGS: self._tags,
            EXPERIMENT_TAGS: self._experiment_tags,
        }

    def apply(self, messages: list[Message]) -> None:
        """Apply messages of one run, either epochs or a single one of another kind."""
        self._find_experiment(messages[0])
        if messages[0].kind == METRICS:
            self._metrics(messages)
        else:
            (message,) = messages
            self._handlers[message.kind](message)

    def _metrics(self, messages: Iterable[Message]) -> None:
        """Log epochs of one trial: each body holds `trial_id`, `epoch` and `metrics`."""
        from mlflow.entities import Metric

        values = [
            Metric(key, value, message.sent_at, message.body["epoch"])
            for message in messages
            for key, value in message.body["metrics"].items()
        ]
        run = self._run(next(iter(messages)).body[TAG_TRIAL])
        for start in range(0, len(values), VALUES_PER_CALL):
            self._client.log_batch(run, metrics=values[start : start + VALUES_PER_CALL])

    def _study(self, message: Message) -> None:
        self._ensure_run(message, TAG_STUDY, {})

    def _trial(self, message: Message) -> None:
        parent = self._run(message.body[TAG_STUDY], TAG_STUDY)
        self._ensure_run(message, TAG_TRIAL, {TAG_PARENT: parent})

    def _end(self, message: Message) -> None:
        value, tag = message.body["id"], message.body["tag"]
        run = self._run(value, tag)
        self._client.set_terminated(run, message.body["status"], end_time=message.sent_at)
        for other in self._search(value, tag):
            if other.info.run_id != run and not _holds(other):  # a server that hung made it when nobody waited for it
                self._client.delete_run(other.info.run_id)

    def _log_artifacts(self, message: Message) -> None:
        body = message.body
        self._client.log_artifacts(self._run(body["id"], body["tag"]), body["folder"], body["path"])

    def _tags(self, message: Message) -> None:
        from mlflow.entities import RunTag

        run = self._run(message.body["id"], message.body["tag"])
        places = {EXPERIMENT_PLACE: self._experiment, RUN_PLACE: run}
        tags = [RunTag(key, filled(value, places)) for key, value in message.body["tags"].items()]
        self._client.log_batch(run, tags=tags)

    def _experiment_tags(self, message: Message) -> None:
        for key, value in message.body["tags"].items():
            tag = filled(value, {EXPERIMENT_PLACE: self._experiment})
            self._client.set_experiment_tag(self._experiment, key, tag)

    def _champion(self, message: Message) -> None:
        """Register a checkpoint; its alias stays with a holder of the same dataset settings and no lower accuracy."""
        body = message.body
        self._ensure_model(body["model"])
        holder = self._holder(body["model"], body["alias"])
        comparable = holder is not None and holder.get(TAG_DATASET) == body[TAG_DATASET]
        if holder is not None and comparable and float(holder[TAG_VALIDATION]) >= body[TAG_VALIDATION]:
            return
        version = self._ensure_version(body)
        self._client.set_registered_model_alias(body["model"], body["alias"], version.version)
        self._settle(body["model"], body["alias"], body[TAG_DATASET])

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

    def _ensure_version(self, body: dict[str, Any]) -> "ModelVersion":
        run = self._run(body[TAG_TRIAL])
        source = f"runs:/{run}/{body['path']}"
        for version in self._client.search_model_versions(f"name = '{body['model']}' and run_id = '{run}'"):
            if version.source == source:
                return version
        return self._client.create_model_version(
            body["model"],
            source=source,
            run_id=run,
            tags={TAG_VALIDATION: repr(body[TAG_VALIDATION]), TAG_DATASET: body[TAG_DATASET], "variant": body["alias"]},
        )

    def _find_experiment(self, message: Message) -> None:
        with self._finding:
            if self._experiment:
                return
            name = message.body["experiment"]
            found = self._client.get_experiment_by_name(name)
            self._experiment = found.experiment_id if found else self._create_experiment(name)

    def _create_experiment(self, name: str) -> str:
        created: str = self._client.create_experiment(name, self._artifacts, tags=TRAINING_EXPERIMENT)
        return created

    def _ensure_run(self, message: Message, tag: str, tags: dict[str, str]) -> None:
        """Make a run, or let it go on. Parameters it has stay as they are: MLflow lets nobody change them."""
        from mlflow.entities import Param

        body = message.body
        found = self._search(body[tag], tag)
        if found:
            run = found[0]
            self._client.update_run(run.info.run_id, status="RUNNING")
        else:
            run = self._client.create_run(
                self._experiment,
                start_time=message.sent_at,
                run_name=body["name"],
                tags={**body["tags"], **tags, tag: body[tag]},
            )
        self._runs[body[tag]] = run.info.run_id
        params = [Param(key, str(value)) for key, value in body["params"].items() if key not in run.data.params]
        self._client.log_batch(run.info.run_id, params=params)

    def _run(self, value: str, tag: str = TAG_TRIAL) -> str:
        """The id of the run with a tag.

        Raises:
            LookupError: there is none.
        """
        if value not in self._runs:
            found = self._search(value, tag)
            if not found:
                raise LookupError(f"no run has the tag {tag}={value} yet")
            self._runs[value] = found[0].info.run_id
        return self._runs[value]

    def _search(self, value: str, tag: str) -> "list[Run]":
        """The runs with a tag, the one that holds most first."""
        found = self._client.search_runs([self._experiment], f"tags.{tag} = '{value}'")
        return sorted(found, key=_holds, reverse=True)


def _holds(run: "Run") -> int:
    """How many metrics and parameters a run has."""
    return len(run.data.metrics) + len(run.data.params)
