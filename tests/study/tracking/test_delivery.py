"""Messages that are sent together, and those sent side by side."""

from study.record.epoch import EpochReport
from study.tracking.delivery import groups, in_calls
from study.tracking.messages import Champion, Ended, EpochEnded, RunKey, StudyBegan, TrialBegan
from study.tracking.outbox import Posted


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
