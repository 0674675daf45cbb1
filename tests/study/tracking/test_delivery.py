"""Messages that are sent together, and those sent side by side."""

import os
import sys
import threading
import time

import pytest

from study.record.epoch import EpochReport
from study.tracking.delivery import NICE, Delivery, groups, in_calls
from study.tracking.messages import Champion, Ended, EpochEnded, RunKey, StudyBegan, TrialBegan
from study.tracking.outbox import Outbox, Posted
from study.tracking.reporter import Reporter


def trial_run(trial_id):
    return RunKey("trial_id", trial_id)


def metrics(number, trial_id, values=400):
    report = EpochReport(number, {str(key): 0.0 for key in range(values)})
    return Posted(number, 0, EpochEnded("e", trial_run(trial_id), report))


def start(number, trial_id):
    return Posted(number, 0, TrialBegan("e", trial_run(trial_id), RunKey("study_id", "s"), trial_id, {}, {}))


def end(number, value, tag="trial_id"):
    return Posted(number, 0, Ended("e", RunKey(tag, value), "FINISHED"))


def numbers(calls):
    return [[posted.number for posted in call] for call in calls]


def test_a_call_takes_the_epochs_that_fit_and_nothing_else():
    calls = [start(1, "a"), *(metrics(number, "a") for number in (2, 3, 4)), end(5, "a"), metrics(6, "a")]
    assert numbers(in_calls(calls)) == [[1], [2, 3], [4], [5], [6]]


def test_an_epoch_larger_than_a_call_and_one_without_values_stand_where_they_were():
    calls = [metrics(1, "a", 1200), metrics(2, "a", 0), end(3, "a"), metrics(4, "a", 1000), metrics(5, "a", 0)]
    assert numbers(in_calls(calls)) == [[1], [2], [3], [4, 5]]


def test_trials_go_side_by_side_between_what_concerns_the_study():
    study = Posted(1, 0, StudyBegan("e", RunKey("study_id", "s"), "study", {}, {}))
    champion = Posted(7, 0, Champion("e", trial_run("a"), "model", "shuffled", "best", 0.5, "{}"))
    waiting = [study, start(2, "a"), start(3, "b"), metrics(4, "b"), metrics(5, "a"), metrics(6, "b"), champion]
    waiting += [end(8, "a"), end(9, "s", "study_id")]
    assert [[numbers(calls) for calls in group] for group in groups(waiting)] == [
        [[[1]]],
        [[[2], [5]], [[3], [4, 6]]],
        [[[7]]],
        [[[8]]],
        [[[9]]],
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has a priority for each thread")
def test_reports_step_back_beside_trials_and_no_longer_once_these_have_ended(tmp_path):
    sent = {}

    def note(progress):
        sent.update(dict.fromkeys(progress.sent, os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))

    reporter, own = Reporter(tmp_path / "box", "made", "study"), os.getpriority(os.PRIO_PROCESS, 0)
    reporter.study("study", {}, {})
    outbox = Outbox(tmp_path / "box")
    delivery = Delivery(outbox, f"sqlite:///{tmp_path / 'runs.db'}", tmp_path, note)
    beside = threading.Thread(target=delivery.run_beside_trials)
    beside.start()
    deadline = time.monotonic() + 60
    while 1 not in sent and time.monotonic() < deadline:
        time.sleep(0.05)
    delivery.finish()
    beside.join()
    reporter.end_study("FINISHED")
    delivery.run()
    reporter.close()
    outbox.close()
    assert sent == {1: min(own + NICE, 19), 2: own}
