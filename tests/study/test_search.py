import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from search_spaces.dynamic_replacement import SPACE
from study.search import make_search

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
    search.on_trial_complete("a", result(2, 0.4))


def test_a_seed_gives_the_same_suggestions(tmp_path):
    def suggestions(folder, seed):
        search, found = searcher(folder, seed), []
        for number in range(8):
            found.append(search.suggest(str(number)))
            search.on_trial_complete(str(number), result(6, found[-1]["method"]["p"] if number % 2 else 0.5))
        return found

    assert suggestions(tmp_path / "a", 0) == suggestions(tmp_path / "b", 0)
    assert suggestions(tmp_path / "c", 0) != suggestions(tmp_path / "d", 1)
