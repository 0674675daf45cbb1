"""A study whose reports find no room on disk."""

import sqlite3

import pytest
from ray.tune import TuneError

import study.study
from study.errors import OutboxError
from study.record.folder import SEARCH, StudyFolder
from study.tracking import outbox, sender
from study.tracking.messages import EpochEnded
from study.tracking.outbox import Outbox

OPTIONS = ("erm", "--trials", "1", "--epochs", "6", "--tracking-uri", "http://127.0.0.1:9")
PAGES = 6


def test_what_ray_wraps_is_told_as_what_it_is():
    def wrapped():
        try:
            raise OutboxError("no room")
        except OutboxError:
            raise TuneError("a long text")  # noqa: B904  as Ray does

    def other():
        raise TuneError("something else")

    with pytest.raises(OutboxError, match="no room"):
        study.study.attempt(wrapped)
    with pytest.raises(TuneError, match="something else"):
        study.study.attempt(other)


@pytest.mark.slow
def test_the_study_ends_with_one_line_and_resume_loses_nothing(study, tmp_path, monkeypatch):
    class Small(sqlite3.Connection):
        """A file of a few pages, as on a full disk."""

        def executescript(self, script):
            made = super().executescript(script)
            self.execute(f"PRAGMA max_page_count = {PAGES}")
            return made

    connect, root = sqlite3.connect, tmp_path / "study"
    monkeypatch.setattr(sender, "PATIENCE_SECONDS", 2)
    monkeypatch.setattr(outbox.sqlite3, "connect", lambda *given, **more: connect(*given, **more, factory=Small))
    code, _, err = study("run", *OPTIONS, "--output", root)
    assert code == 2
    assert err.splitlines()[-1].startswith(f"error: cannot write {root / 'reports.sqlite'} (database or disk is full)")

    monkeypatch.setattr(outbox.sqlite3, "connect", connect)
    code, _, err = study("resume", root)
    assert code == 0
    (trial,) = StudyFolder(root).finished(SEARCH)
    assert len(trial.history) == 6
    waiting = Outbox(root / "reports.sqlite")
    messages = [posted.message for posted in waiting.first(100)]
    epochs = [message.report.epoch for message in messages if isinstance(message, EpochEnded)]
    waiting.close()
    *told, summary = epochs
    assert (told, summary) == ([1, 2, 3, 4, 5, 6], 0)
