import json
import math
import random
from types import SimpleNamespace

import pytest

from study.record.config import StudyConfig
from study.record.epoch import EpochReport
from study.record.folder import SEARCH, StudyFolder
from study.search.proposals import Seeds
from study.search.ray_search import RecordedSearch, make_scheduler

OBJECTIVE = "val/shuffled/accuracy"
FIXED = {"dataset/name": "colored-digits", "method/name": "erm"}


def result(epochs, value, may_stop=True):
    return {"epoch": epochs, "score": value, "values": json.dumps([value]), "may_stop": may_stop}


@pytest.fixture
def folder(tmp_path):
    """A study in which trials reached 1, 2 and 2 epochs of 5, the first stopped there."""
    made = StudyFolder(tmp_path / "study")
    made.create(StudyConfig())
    for name, accuracies in (("high", [0.8, 0.9]), ("higher", [0.9, 0.9]), ("low", [0.1])):
        made.start_trial(name, made.next_number(), "x", SEARCH, {"method/name": "erm"})
        for epoch, accuracy in enumerate(accuracies, start=1):
            made.add_epoch(name, EpochReport(epoch, {"val/shuffled/accuracy": accuracy}))
    return made


def decide(scheduler, name, epoch, value):
    return scheduler.on_trial_result(None, SimpleNamespace(config={"trial": name}), result(epoch, value))


def test_a_scheduler_recalls_whom_a_study_stopped(folder):
    scheduler = make_scheduler(folder, "x", OBJECTIVE, epochs=5, every=1)
    scheduler.on_trial_add(None, SimpleNamespace(config={"trial": "new"}))
    assert decide(scheduler, "new", 1, 0.5) == scheduler.STOP
    assert decide(scheduler, "new", 2, 0.99) == scheduler.STOP
    assert decide(scheduler, "higher", 3, 0.9) == scheduler.CONTINUE
    scheduler.on_trial_add(None, SimpleNamespace(config={"trial": "low"}))
    assert decide(scheduler, "low", 2, 0.99) == scheduler.STOP


def test_a_new_study_has_nothing_to_recall(tmp_path):
    made = StudyFolder(tmp_path / "study")
    made.create(StudyConfig())
    scheduler = make_scheduler(made, "x", OBJECTIVE, epochs=5, every=1)
    scheduler.on_trial_add(None, SimpleNamespace(config={"trial": "first"}))
    assert [decide(scheduler, "first", epoch, 0.1) for epoch in (1, 2, 3, 4)] == [scheduler.CONTINUE] * 4
    assert decide(scheduler, "first", 5, 0.1) == scheduler.STOP


def test_nobody_is_stopped_before_it_was_judged(tmp_path):
    made = StudyFolder(tmp_path / "study")
    made.create(StudyConfig())
    scheduler = make_scheduler(made, "x", OBJECTIVE, epochs=10, every=3)
    trials = {name: SimpleNamespace(config={"trial": name}) for name in ("lost", "first", "second")}
    for trial in trials.values():
        scheduler.on_trial_add(None, trial)
    scheduler.on_trial_complete(None, trials["lost"], result(2, 0.1))
    assert [decide(scheduler, "first", epoch, value) for epoch, value in ((1, 0.0), (2, 0.0), (3, 0.5))] == (
        [scheduler.CONTINUE] * 3
    )
    assert decide(scheduler, "second", 2, 0.0) == scheduler.CONTINUE
    assert decide(scheduler, "second", 3, 0.2) == scheduler.STOP


def test_a_trial_goes_on_until_its_first_evaluation_and_is_compared_then(tmp_path):
    made = StudyFolder(tmp_path / "study")
    made.create(StudyConfig())
    scheduler = make_scheduler(made, "x", OBJECTIVE, epochs=10, every=1)
    for name in ("high", "late"):
        scheduler.on_trial_add(None, SimpleNamespace(config={"trial": name}))
    assert [decide(scheduler, "high", epoch, 0.9) for epoch in (1, 2, 3)] == [scheduler.CONTINUE] * 3
    assert [decide(scheduler, "late", epoch, math.nan) for epoch in (1, 2, 3)] == [scheduler.CONTINUE] * 3
    assert decide(scheduler, "late", 4, 0.1) == scheduler.STOP


def test_a_trial_that_was_to_stop_goes_on_to_where_it_may(folder):
    scheduler = make_scheduler(folder, "x", OBJECTIVE, epochs=5, every=1)
    again = SimpleNamespace(config={"trial": "low"})
    scheduler.on_trial_add(None, again)
    assert scheduler.on_trial_result(None, again, result(2, 0.1, may_stop=False)) == scheduler.CONTINUE
    assert scheduler.on_trial_result(None, again, result(3, 0.1, may_stop=True)) == scheduler.STOP


@pytest.mark.parametrize(("epochs", "every", "rungs"), [(1, 1, {1}), (10, 1, {2, 6}), (50, 1, {10, 30}), (9, 4, {4})])
def test_trials_are_stopped_at_rungs_and_at_the_end_only(tmp_path, epochs, every, rungs):
    made = StudyFolder(tmp_path / "study")
    made.create(StudyConfig())
    scheduler, rng, stopped = make_scheduler(made, "x", OBJECTIVE, epochs, every), random.Random(0), set()
    for number in range(60):
        trial = SimpleNamespace(config={"trial": str(number)})
        scheduler.on_trial_add(None, trial)
        for epoch in range(1, epochs + 1):
            score = rng.random() if epoch >= every else math.nan
            if scheduler.on_trial_result(None, trial, result(epoch, score)) == scheduler.STOP:
                stopped.add(epoch)
                break
    assert stopped == rungs | {epochs}
    assert {rung for rung in scheduler.rungs if rung <= epochs} == rungs


class Told(Seeds):
    """Seeds that remember what they were told."""

    def __init__(self, seeds):
        super().__init__(seeds)
        self.observed = []

    def observe(self, trial_id, values, epochs):
        self.observed.append((trial_id, values, epochs))

    def fail(self, trial_id):
        self.observed.append((trial_id, "failed"))


def stage(folder, seeds, room=2):
    return RecordedSearch(folder, SEARCH, "erm", seeds, FIXED, lambda: room)


@pytest.fixture
def empty(tmp_path):
    made = StudyFolder(tmp_path / "study")
    made.create(StudyConfig())
    return made


def test_a_trial_is_recorded_before_ray_hears_of_it(empty):
    suggested = stage(empty, Seeds([7, 8])).suggest("ray-1")
    (recorded,) = empty.trials(SEARCH, "erm")
    assert suggested == {"trial": recorded.trial_id, "settings": json.dumps(recorded.config)}
    assert (recorded.config["seed"], recorded.config["method/name"], recorded.finished) == (7, "erm", False)


def test_a_stage_has_so_many_trials_and_no_more(empty):
    search = stage(empty, Seeds([7, 8]))
    assert [json.loads(search.suggest(name)["settings"])["seed"] for name in ("ray-1", "ray-2")] == [7, 8]
    assert search.suggest("ray-3") == search.FINISHED


def test_one_trial_more_than_run_at_once_is_suggested(empty):
    search = stage(empty, Seeds(range(5)), room=2)
    assert [search.suggest(f"ray-{n}") is None for n in range(4)] == [False, False, False, True]
    search.on_trial_complete("ray-0")
    assert json.loads(search.suggest("ray-4")["settings"])["seed"] == 3
    assert search.suggest("ray-5") is None


def test_unfinished_trials_come_first_and_finished_ones_not_again(empty):
    search = stage(empty, Seeds([7, 8, 9]))
    done, begun = (search.suggest(name)["trial"] for name in ("ray-1", "ray-2"))
    empty.finish_trial(done)
    again = stage(empty, Seeds([7, 8, 9]))
    first, second = again.suggest("ray-a"), again.suggest("ray-b")
    assert (first["trial"], json.loads(first["settings"])["seed"]) == (begun, 8)
    assert json.loads(second["settings"])["seed"] == 9
    assert again.suggest("ray-c") == again.FINISHED


def test_ends_are_told_under_the_studys_own_names(empty):
    seeds = Told([7, 8])
    search = stage(empty, seeds)
    first, second = (search.suggest(name)["trial"] for name in ("ray-1", "ray-2"))
    search.on_trial_complete("ray-1", result(3, 0.25))
    search.on_trial_complete("ray-2", error=True)
    assert seeds.observed == [(first, [0.25], 3), (second, "failed")]
