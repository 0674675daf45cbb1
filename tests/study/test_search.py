from types import SimpleNamespace

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from search_spaces.dynamic_replacement import SPACE
from study.config import StudyConfig
from study.folder import SEARCH, StudyFolder
from study.search import make_scheduler, make_search

KEY = "val/shuffled/best_accuracy"


def searcher(folder, seed=0):
    return make_search(SPACE, "shuffled", folder / "search" / "x.journal", "x", trials=12, epochs=6, seed=seed)


def result(epochs, value):
    return {"training_iteration": epochs, KEY: value}


def test_a_trial_stopped_early_is_told_as_pruned_and_a_whole_one_as_complete(tmp_path):
    search = searcher(tmp_path)
    for name in ("whole", "stopped", "failed"):
        search.suggest(name)
    search.on_trial_complete("whole", result(6, 0.9))
    search.on_trial_complete("stopped", result(2, 0.4))
    search.on_trial_complete("failed", error=True)

    storage = JournalStorage(JournalFileBackend(str(tmp_path / "search" / "x.journal")))
    whole, stopped, failed = optuna.load_study(study_name="x", storage=storage).trials
    assert (whole.state, whole.value) == (TrialState.COMPLETE, 0.9)
    assert (stopped.state, stopped.intermediate_values) == (TrialState.PRUNED, {2: 0.4})
    assert failed.state == TrialState.FAIL


def test_telling_twice_changes_nothing(tmp_path):
    search = searcher(tmp_path)
    search.suggest("a")
    search.on_trial_complete("a", result(2, 0.4))
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "search" / "x.journal")))
    (told,) = optuna.load_study(study_name="x", storage=storage).trials
    search.on_trial_complete("a", result(2, 0.9))
    (again,) = optuna.load_study(study_name="x", storage=storage).trials
    assert again == told
    assert again.intermediate_values == {2: 0.4}


def test_a_seed_gives_the_same_suggestions(tmp_path):
    def suggestions(folder, seed):
        search, found = searcher(folder, seed), []
        for number in range(8):
            found.append(search.suggest(str(number)))
            search.on_trial_complete(str(number), result(6, found[-1]["method"]["p"] if number % 2 else 0.5))
        return found

    assert suggestions(tmp_path / "a", 0) == suggestions(tmp_path / "b", 0)
    assert suggestions(tmp_path / "c", 0) != suggestions(tmp_path / "d", 1)


@pytest.fixture
def folder(tmp_path):
    """A study in which trials reached 1, 2 and 2 epochs of 5, the first stopped there."""
    made = StudyFolder(tmp_path / "study")
    made.create(StudyConfig())
    for name, accuracies in (("high", [0.8, 0.9]), ("higher", [0.9, 0.9]), ("low", [0.1])):
        made.start_trial(name, "x", SEARCH, {"method/name": "erm"})
        for epoch, accuracy in enumerate(accuracies, start=1):
            made.add_epoch(name, epoch, {"val/shuffled/accuracy": accuracy})
    return made


def decide(scheduler, name, epoch, value):
    return scheduler.on_trial_result(None, SimpleNamespace(trial_id=name), result(epoch, value))


def test_a_scheduler_recalls_whom_a_study_stopped(folder):
    scheduler = make_scheduler(folder, "x", "shuffled", epochs=5)
    scheduler.on_trial_add(None, SimpleNamespace(trial_id="new"))
    assert decide(scheduler, "new", 1, 0.5) == scheduler.STOP
    assert decide(scheduler, "new", 2, 0.99) == scheduler.STOP
    assert decide(scheduler, "higher", 3, 0.9) == scheduler.CONTINUE
    scheduler.on_trial_add(None, SimpleNamespace(trial_id="low"))
    assert decide(scheduler, "low", 2, 0.99) == scheduler.STOP


def test_a_new_study_has_nothing_to_recall(tmp_path):
    made = StudyFolder(tmp_path / "study")
    made.create(StudyConfig())
    scheduler = make_scheduler(made, "x", "shuffled", epochs=5)
    scheduler.on_trial_add(None, SimpleNamespace(trial_id="first"))
    assert [decide(scheduler, "first", epoch, 0.1) for epoch in (1, 2, 3, 4)] == [scheduler.CONTINUE] * 4
    assert decide(scheduler, "first", 5, 0.1) == scheduler.STOP
