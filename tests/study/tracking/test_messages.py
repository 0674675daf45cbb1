"""Every kind of message goes through the outbox unchanged."""

import pytest

from bgbias.table import Table
from study.record.epoch import EpochReport
from study.tracking.messages import (
    KINDS,
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

STUDY, TRIAL = RunKey("study_id", "s"), RunKey("trial_id", "t")
MESSAGES = [
    StudyBegan("e", STUDY, "name", {"trials": 8, "objective": None, "p": 0.5, "early": True}, {"stage": "study"}),
    TrialBegan("e", TRIAL, STUDY, "name", {"method/weight": 1e-7}, {}),
    EpochEnded("e", TRIAL, EpochReport(1, {"val/shuffled/accuracy": 0.1}, {"p": Table(((0.5,),), ("a",), ("b",))})),
    Ended("e", STUDY, "FINISHED"),
    Artifacts("e", STUDY, "/folder", "report"),
    Tags("e", TRIAL, {"winner": "shuffled"}),
    ExperimentTags("e", {"note": "{experiment}"}),
    Champion("e", TRIAL, "model", "shuffled", "best/shuffled", 0.9, "{}"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_out_as_it_was_put(tmp_path, message):
    outbox = Outbox(tmp_path / "box")
    outbox.put(message)
    (posted,) = outbox.first(10)
    outbox.close()
    assert type(posted.message) is type(message)
    assert posted.message == message


def test_each_kind_is_here_and_only_what_writes_to_a_trials_run_alone_names_it():
    assert {type(message) for message in MESSAGES} == set(KINDS.values())
    assert [message.trial for message in MESSAGES] == [None, "t", "t", None, None, "t", None, None]
