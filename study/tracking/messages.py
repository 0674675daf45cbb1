"""Messages from a study to MLflow: one class for each kind.

Every message names the experiment, so each can be sent alone.
"""

from typing import get_args

from study.record.epoch import EpochReport
from study.record.json_record import JsonRecord, json_record
from study.settings import Settings

TAG_STUDY, TAG_TRIAL = "study_id", "trial_id"
"""The tags that runs are found by."""

SERVERS = ("http:", "https:", "databricks")
"""Beginnings of the tracking URIs of servers; all other URIs are those of databases."""

EXPERIMENT_PLACE, RUN_PLACE = "{experiment}", "{run}"
"""Placeholders in a tag for ids that MLflow assigns."""


@json_record
class RunKey(JsonRecord):
    """The tag by which a run is found, `study_id` or `trial_id`; a trial's run is below the run of its study.

    study: for a trial's run, the study's id: the trials of a copied study have the same ids as those of the original
    """

    tag: str
    value: str
    study: str | None = None


@json_record
class Message(JsonRecord):
    """Base of all messages."""

    experiment: str

    @property
    def trial(self) -> str | None:
        """The trial whose run is all that the message writes to; None for what concerns the study or other runs."""
        return None


@json_record
class RunMessage(Message):
    """Base of what is written to one run."""

    run: RunKey

    @property
    def trial(self) -> str | None:
        """The run's trial."""
        return self.run.value if self.run.tag == TAG_TRIAL else None


@json_record
class StudyBegan(RunMessage):
    """The study begins, or continues."""

    name: str
    params: Settings
    tags: dict[str, str]


@json_record
class TrialBegan(RunMessage):
    """A trial begins, or continues, in a run below the study's."""

    study: RunKey
    name: str
    params: Settings
    tags: dict[str, str]


@json_record
class EpochEnded(RunMessage):
    """A trial's report after an epoch; epoch 0 is the trial's summary."""

    report: EpochReport


@json_record
class Ended(RunMessage):
    """A run's end.

    status: FINISHED, FAILED or KILLED
    """

    status: str


@json_record
class Artifacts(RunMessage):
    """A folder to keep with a run, under a path of its own."""

    folder: str
    path: str


@json_record
class Tags(RunMessage):
    """Tags that are known later than the run. `EXPERIMENT_PLACE` and `RUN_PLACE` stand for what MLflow numbers both."""

    tags: dict[str, str]


@json_record
class ExperimentTags(Message):
    """Tags of the experiment. `EXPERIMENT_PLACE` stands for its number."""

    tags: dict[str, str]


@json_record
class Champion(Message):
    """A trial's artifact that is the best of its study for a variant, which becomes the model's alias.

    dataset: its settings, as JSON; versions of different settings are not compared
    """

    run: RunKey
    model: str
    alias: str
    path: str
    val_accuracy: float
    dataset: str


AnyMessage = StudyBegan | TrialBegan | EpochEnded | Ended | Artifacts | Tags | ExperimentTags | Champion
KINDS: dict[str, type[AnyMessage]] = {kind.__name__: kind for kind in get_args(AnyMessage)}
