import optuna
import pytest
from made import epoch, trial
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from bgbias.methods.dynamic_replacement import DynamicReplacement
from search_spaces.dynamic_replacement import SPACE
from study.search import proposals as proposing
from study.search.proposals import OptunaProposals, Seeds
from study.space import SearchSpace

OBJECTIVES = ["val/shuffled/accuracy"]
TWO = ["val/shuffled/accuracy", "val/shuffled/loss"]


def proposals(folder, seed=0, trials=()):
    made = OptunaProposals(SPACE, OBJECTIVES, folder / "search" / "x.journal", epochs=6, total=12, seed=seed)
    made.recall(trials)
    return made


def opened(folder):
    storage = JournalStorage(JournalFileBackend(str(folder / "search" / "x.journal")))
    return optuna.load_study(study_name="x", storage=storage).trials


def test_a_trial_stopped_early_is_told_as_pruned_and_a_whole_one_as_complete(tmp_path):
    made = proposals(tmp_path)
    for number, name in enumerate(("whole", "stopped", "failed")):
        made.propose(name, number)
    made.observe("whole", [0.9], epochs=6)
    made.observe("stopped", [0.4], epochs=2)
    made.fail("failed")
    whole, stopped, failed = opened(tmp_path)
    assert (whole.state, whole.value) == (TrialState.COMPLETE, 0.9)
    assert (stopped.state, stopped.intermediate_values) == (TrialState.PRUNED, {2: 0.4})
    assert failed.state == TrialState.FAIL


def value_of(proposed):
    return round(proposed["method/p"] / 2, 3)


def search(folder, numbers, trials=(), seed=0):
    """Propose and tell the numbers; what was proposed, as recorded trials."""
    made, found = proposals(folder, seed, trials), []
    for number in numbers:
        proposed = made.propose(str(number), number)
        epochs = 6 if number % 3 else 2
        made.observe(str(number), [value_of(proposed)], epochs)
        history = [epoch(shuffled=(value_of(proposed), 0.0))] * epochs
        found.append(trial(str(number), history, number=number + 1, **proposed))
    return found


def test_a_seed_gives_the_same_proposals_and_another_seed_others(tmp_path):
    first, again, other = (
        [t.config for t in search(tmp_path / name, range(8), seed=seed)]
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again
    assert all(one["method/p"] != two["method/p"] for one, two in zip(first, other, strict=True))


@pytest.mark.parametrize("known", [1, 5, 9])
def test_a_record_of_trials_leads_to_the_proposals_of_a_search_that_never_stopped(tmp_path, known):
    whole = search(tmp_path / "whole", range(10))
    before = search(tmp_path / "stopped", range(known))
    after = search(tmp_path / "stopped", range(known, 10), trials=before)
    assert [t.config for t in before + after] == [t.config for t in whole]
    same = [(t.number, t.state, t.params, t.value, t.intermediate_values) for t in opened(tmp_path / "whole")]
    assert [(t.number, t.state, t.params, t.value, t.intermediate_values) for t in opened(tmp_path / "stopped")] == same


def test_knowing_the_space_changes_nothing_that_tpe_draws(tmp_path, monkeypatch):
    """Past the 4 random trials, against Optuna's own way of finding the space in the trials."""
    ours = search(tmp_path / "ours", range(20))
    tpe = optuna.samplers.TPESampler
    monkeypatch.setattr(proposing, "FixedSpaceTPE", lambda _, seed, many: tpe(seed=seed, n_startup_trials=many))
    assert [t.config for t in search(tmp_path / "theirs", range(20))] == [t.config for t in ours]


def test_an_unfinished_trial_is_taken_up_under_its_own_settings(tmp_path):
    (one,) = search(tmp_path, range(1))
    unfinished = type(one)(**{**vars(one), "finished": False})
    made = proposals(tmp_path, trials=[unfinished])
    (waiting,) = opened(tmp_path)
    assert waiting.state == TrialState.RUNNING
    assert waiting.params == {name: one.config[name] for name in SPACE.params}
    made.observe("0", [0.7], epochs=6)
    (told,) = opened(tmp_path)
    assert (told.state, told.value) == (TrialState.COMPLETE, 0.7)


def test_a_torn_journal_and_its_lock_do_not_matter(tmp_path):
    trials = search(tmp_path, range(3))
    journal = tmp_path / "search" / "x.journal"
    journal.write_bytes(journal.read_bytes()[:-7])
    (tmp_path / "search" / "x.journal.lock").symlink_to(journal)
    proposals(tmp_path, trials=trials).propose("3", 3)
    assert len(opened(tmp_path)) == 4


SMALL = SearchSpace(
    method=DynamicReplacement,
    params={"method/p": FloatDistribution(0, 1, step=0.5), "training/batch_size": CategoricalDistribution([32, 64])},
)


def small(folder, trials=()):
    """Proposals of a space of six configurations, for twelve trials."""
    made = OptunaProposals(SMALL, OBJECTIVES, folder / "search" / "x.journal", epochs=6, total=12, seed=0)
    made.recall(trials)
    return made


def test_a_small_space_is_tried_once_and_whole(tmp_path):
    made = small(tmp_path)
    assert made.total == 6
    found = []
    for number in range(6):
        found.append(made.propose(str(number), number))
        made.observe(str(number), [0.5], epochs=6)
    assert len({tuple(settings.values()) for settings in found}) == 6
    told = [trial.params for trial in opened(tmp_path) if trial.state == TrialState.COMPLETE]
    assert told == found


def test_what_was_tried_before_a_stop_is_not_tried_again(tmp_path):
    whole = small(tmp_path / "whole")
    proposed = [whole.propose(str(number), number) for number in range(6)]
    recorded = [
        trial(str(number), [epoch(shuffled=(0.5, 0.0))] * 6, number=number + 1, **settings)
        for number, settings in enumerate(proposed[:4])
    ]
    again = small(tmp_path / "stopped", recorded)
    rest = [again.propose(str(number), number) for number in (4, 5)]
    assert len({tuple(settings.values()) for settings in [*proposed[:4], *rest]}) == 6


def test_seeds_are_proposed_in_order():
    seeds = Seeds(range(3, 6))
    assert [seeds.propose(name, number) for number, name in enumerate("abc")] == [{"seed": 3}, {"seed": 4}, {"seed": 5}]
    assert (seeds.total, seeds.searched) == (3, ("seed",))


def search_two(folder, numbers, trials=()):
    """As `search`, for a high accuracy and a low loss that pull apart."""
    made = OptunaProposals(SPACE, TWO, folder / "search" / "x.journal", epochs=6, total=12, seed=0)
    made.recall(trials)
    found = []
    for number in numbers:
        proposed = made.propose(str(number), number)
        metrics = {"val/shuffled/accuracy": value_of(proposed), "val/shuffled/loss": proposed["method/p"] ** 2}
        made.observe(str(number), list(metrics.values()), 6 if number % 3 else 2)
        found.append(trial(str(number), [metrics] * (6 if number % 3 else 2), number=number + 1, **proposed))
    return found


@pytest.mark.parametrize("known", [5, 9])
def test_a_search_of_several_objectives_goes_on_from_its_record_too(tmp_path, known):
    whole = search_two(tmp_path / "whole", range(11))
    before = search_two(tmp_path / "stopped", range(known))
    after = search_two(tmp_path / "stopped", range(known, 11), trials=before)
    assert [t.config for t in before + after] == [t.config for t in whole]
    states = [(t.number, t.state, t.params, t.values) for t in opened(tmp_path / "stopped")]
    assert states == [(t.number, t.state, t.params, t.values) for t in opened(tmp_path / "whole")]
    assert {state for _, state, _, _ in states} == {TrialState.COMPLETE}


def test_a_loss_is_minimised_and_an_accuracy_maximised(tmp_path):
    search_two(tmp_path, range(1))
    study = optuna.load_study(
        study_name="x", storage=JournalStorage(JournalFileBackend(str(tmp_path / "search" / "x.journal")))
    )
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == TWO
