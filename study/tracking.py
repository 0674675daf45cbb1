"""Reporting to MLflow: the study puts messages in an outbox, a thread sends them. Training never waits.

One parent run per study, one child run per trial, found again by their tags `study_id` and `trial_id`, so a
study that is resumed goes on in the same runs. Sending a message twice changes nothing.
"""

import json
import logging
import os
import threading
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.markup import escape

from bgbias.errors import SettingError
from study.display import console
from study.outbox import Message, Outbox
from study.selection import Row

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

BATCH = 200
METRICS_PER_CALL = 1000
VERSIONS = 10_000
RETRY_SECONDS = 2.0
PATIENCE_SECONDS = 60
SERVERS = ("http:", "https:", "databricks")
RETRYABLE = (401, 403, 408, 429)
SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")


def check_tracking(uri: str | None) -> None:
    """Whether MLflow can be reached at such an address at all.

    Raises:
        SettingError: its scheme is none of MLflow's.
    """
    if uri is not None and uri.partition(":")[0].partition("+")[0] not in SCHEMES:
        raise SettingError(f"--tracking-uri must begin with one of {', '.join(SCHEMES)}, but got '{uri}'")


def filled(text: str, places: dict[str, str]) -> str:
    """A text with every place replaced by what stands there."""
    for place, value in places.items():
        text = text.replace(place, value)
    return text


def anchored(uri: str | None) -> str | None:
    """The tracking URI with an SQLite file's path made absolute, so that it means the same from every folder."""
    prefix, slashes, path = (uri or "").partition(":///")
    return f"{prefix}{slashes}{Path(path).absolute()}" if prefix == "sqlite" and path else uri


class Sender:
    """Sends an outbox's messages to MLflow, in order, from a thread of its own."""

    def __init__(self, outbox_file: Path, tracking_uri: str, artifacts: Path) -> None:
        """
        Args:
            artifacts: folder for artifacts where the store is a database, without an artifact server.
        """
        self._outbox = Outbox(outbox_file)
        self._uri, self._artifacts = tracking_uri, artifacts
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="mlflow-sender", daemon=True)
        self._mlflow: MlflowWriter | None = None
        self.problem: str | None = None

    def start(self) -> None:
        """Begin sending."""
        self._thread.start()

    def finish(self) -> int:
        """Send what is left, unless the server stays in trouble; how many messages remain unsent."""
        self._stop.set()
        self._wake.set()
        patience = PATIENCE_SECONDS
        while self._thread.is_alive() and patience > 0:
            self._thread.join(1.0)
            patience = patience - 1 if self.problem else PATIENCE_SECONDS
        remaining = len(self._outbox)
        if not self._thread.is_alive():
            self._outbox.close()
        return remaining

    def _loop(self) -> None:
        while True:
            try:
                messages = self._outbox.first(BATCH)
                if not messages and self._stop.is_set():
                    return
                self._send(messages)
                self.problem = None
                if messages:
                    continue
            except Exception as error:  # whatever the server's trouble is, the message waits for its end
                self._tell(error)
            self._wake.wait(RETRY_SECONDS)
            self._wake.clear()

    def _tell(self, error: Exception) -> None:
        reason = _first_line(error)
        if self.problem is None:
            console.print(f"[yellow]MLflow cannot be reached, the study goes on ({escape(reason)})[/]", soft_wrap=True)
        self.problem = reason

    def _send(self, messages: list[Message]) -> None:
        if self._mlflow is None:
            self._mlflow = MlflowWriter(self._uri, self._artifacts)
        for (kind, _), group in groupby(messages, key=lambda m: (m.kind, m.body.get(TAG_TRIAL))):
            together = list(group)
            if kind == METRICS:
                self._apply(self._mlflow.metrics, together)
            else:
                for message in together:
                    self._apply(self._mlflow.handle, [message])

    def _apply(self, apply: Callable[[list[Message]], None], messages: list[Message]) -> None:
        try:
            apply(messages)
        except Exception as error:
            if not _hopeless(error):
                raise
            console.print(f"[yellow]MLflow refused a report: {escape(_first_line(error))}[/]", soft_wrap=True)
            for message in messages:
                self._outbox.reject(message, _first_line(error))
        self._outbox.drop(through=messages[-1].number)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _hopeless(error: Exception) -> bool:
    """Whether sending again cannot help: the run is gone, or MLflow finds the request itself wrong."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        status = int(error.get_http_status_code())  # type: ignore[no-untyped-call]
        return 400 <= status < 500 and status not in RETRYABLE
    return isinstance(error, LookupError)


class MlflowWriter:
    """Applies messages to an MLflow store."""

    def __init__(self, tracking_uri: str, artifacts: Path) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # the outbox tries again
        from mlflow import MlflowClient  # takes seconds to import, which the study need not wait for

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._client = MlflowClient(tracking_uri=tracking_uri)
        self._artifacts = None if tracking_uri.startswith(SERVERS) else artifacts.as_uri()
        self._runs: dict[str, str] = {}
        self._experiment = ""
        self._handlers: dict[str, Callable[[Message], None]] = {
            STUDY: self._study,
            TRIAL: self._trial,
            END: self._end,
            ARTIFACTS: self._log_artifacts,
            CHAMPION: self._champion,
            TAGS: self._tags,
            EXPERIMENT_TAGS: self._experiment_tags,
        }

    def handle(self, messages: list[Message]) -> None:
        """Apply messages that are not metrics."""
        for message in messages:
            self._handlers[message.kind](message)

    def metrics(self, messages: list[Message]) -> None:
        """Log the epochs of one trial: each body holds `trial_id`, `epoch` and `metrics`."""
        from mlflow.entities import Metric

        self._find_experiment(messages[0])
        run = self._run(messages[0].body[TAG_TRIAL])
        values = [
            Metric(key, value, message.sent_at, message.body["epoch"])
            for message in messages
            for key, value in message.body["metrics"].items()
        ]
        for start in range(0, len(values), METRICS_PER_CALL):
            self._client.log_batch(run, metrics=values[start : start + METRICS_PER_CALL])

    def _study(self, message: Message) -> None:
        self._find_experiment(message)
        self._ensure_run(message, TAG_STUDY, {})

    def _trial(self, message: Message) -> None:
        self._find_experiment(message)
        parent = self._run(message.body[TAG_STUDY], TAG_STUDY)
        self._ensure_run(message, TAG_TRIAL, {TAG_PARENT: parent})

    def _end(self, message: Message) -> None:
        self._find_experiment(message)
        run = self._run(message.body["id"], message.body["tag"])
        self._client.set_terminated(run, message.body["status"], end_time=message.sent_at)

    def _log_artifacts(self, message: Message) -> None:
        self._find_experiment(message)
        body = message.body
        run = self._run(body["id"], body["tag"])
        self._client.log_artifacts(run, body["folder"], body["path"])

    def _tags(self, message: Message) -> None:
        from mlflow.entities import RunTag

        self._find_experiment(message)
        run = self._run(message.body["id"], message.body["tag"])
        places = {EXPERIMENT_PLACE: self._experiment, RUN_PLACE: run}
        tags = [RunTag(key, filled(value, places)) for key, value in message.body["tags"].items()]
        self._client.log_batch(run, tags=tags)

    def _experiment_tags(self, message: Message) -> None:
        self._find_experiment(message)
        for key, value in message.body["tags"].items():
            tag = filled(value, {EXPERIMENT_PLACE: self._experiment})
            self._client.set_experiment_tag(self._experiment, key, tag)

    def _champion(self, message: Message) -> None:
        """Register a checkpoint; its alias stays with a holder of the same dataset settings and no lower accuracy."""
        from mlflow.exceptions import MlflowException

        self._find_experiment(message)
        body = message.body
        run = self._run(body[TAG_TRIAL])
        try:
            self._client.create_registered_model(body["model"])
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        try:
            holder = self._client.get_model_version_by_alias(body["model"], body["alias"]).tags
            comparable = holder.get(TAG_DATASET) == body[TAG_DATASET]
            if comparable and float(holder[TAG_VALIDATION]) >= body[TAG_VALIDATION]:
                return
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
        version = self._client.create_model_version(
            body["model"],
            source=f"runs:/{run}/{body['path']}",
            run_id=run,
            tags={TAG_VALIDATION: repr(body[TAG_VALIDATION]), TAG_DATASET: body[TAG_DATASET], "variant": body["alias"]},
        )
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

    def _find_experiment(self, message: Message) -> None:
        if self._experiment:
            return
        name = message.body["experiment"]
        found = self._client.get_experiment_by_name(name)
        self._experiment = found.experiment_id if found else self._create_experiment(name)

    def _create_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        try:
            created: str = self._client.create_experiment(name, self._artifacts, tags=TRAINING_EXPERIMENT)
        except MlflowException as error:
            found = self._client.get_experiment_by_name(name)
            if error.error_code != "RESOURCE_ALREADY_EXISTS" or found is None:
                raise
            return str(found.experiment_id)  # another study made it in between
        return created

    def _ensure_run(self, message: Message, tag: str, tags: dict[str, str]) -> None:
        from mlflow.entities import Param

        body = message.body
        if self._search(body[tag], tag) is None:
            run = self._client.create_run(
                self._experiment,
                start_time=message.sent_at,
                run_name=body["name"],
                tags={**body["tags"], **tags, tag: body[tag]},
            )
            self._runs[body[tag]] = run.info.run_id
        else:
            self._client.update_run(self._run(body[tag], tag), status="RUNNING")
        params = [Param(key, str(value)) for key, value in body["params"].items()]
        self._client.log_batch(self._run(body[tag], tag), params=params)

    def _run(self, value: str, tag: str = TAG_TRIAL) -> str:
        found = self._search(value, tag)
        if found is None:
            raise LookupError(f"no run has the tag {tag}={value} yet")
        return found

    def _search(self, value: str, tag: str) -> str | None:
        if value not in self._runs:
            runs = self._client.search_runs([self._experiment], f"tags.{tag} = '{value}'", max_results=1)
            if not runs:
                return None
            self._runs[value] = runs[0].info.run_id
        return self._runs[value]


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
        """An epoch's metrics."""
        self._put(METRICS, trial_id=trial_id, epoch=epoch, metrics=metrics)

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
