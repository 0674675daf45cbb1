import shutil

from made import epoch, trial

from study.record.keeper import EpochKeeper, StudyKeeper
from study.record.selection import winners, worth_keeping

OBJECTIVES = ["val/shuffled/accuracy"]


def write(folder, epoch_number):
    target = folder / str(epoch_number)
    target.mkdir(parents=True)
    (target / "model").write_text(f"{folder.name} {epoch_number}")


def fetching(folder):
    return lambda number, target: shutil.copytree(folder / str(number), target)


def kept(folder):
    return sorted(str(path.parent.relative_to(folder)) for path in folder.rglob("model"))


def test_a_trial_keeps_the_best_epoch_of_each_variant_and_the_last(tmp_path):
    keeper, history = EpochKeeper(tmp_path), []
    expected = [["1"], ["1", "2"], ["2", "3"], ["2", "3", "4"]]
    accuracies = [(0.5, 0.5), (0.4, 0.6), (0.7, 0.3), (0.1, 0.1)]
    for number, (original, shuffled) in enumerate(accuracies, start=1):
        write(tmp_path, number)
        history.append(epoch(original=(original, 0), shuffled=(shuffled, 0)))
        keeper.prune(history)
        assert kept(tmp_path) == expected[number - 1]


def test_a_study_keeps_one_checkpoint_for_each_space_and_variant(tmp_path):
    scratch, keeper = tmp_path / "scratch", StudyKeeper(tmp_path / "best")
    first = trial("a", [epoch(original=(0.9, 0), shuffled=(0.5, 0)), epoch(original=(0.8, 0), shuffled=(0.6, 0))])
    second = trial("b", [epoch(original=(0.7, 0), shuffled=(0.8, 0))])
    third = trial("c", [epoch(original=(0.1, 0), shuffled=(0.1, 0))])
    for number in (1, 2):
        write(scratch / "a", number)
    write(scratch / "b", 1)
    write(scratch / "c", 1)

    keeper.offer(first, fetching(scratch / "a"), worth_keeping([first], OBJECTIVES))
    assert kept(keeper.folder) == ["erm/a/1", "erm/a/2"]
    keeper.offer(second, fetching(scratch / "b"), worth_keeping([first, second], OBJECTIVES))
    assert kept(keeper.folder) == ["erm/a/1", "erm/b/1"]
    keeper.offer(third, fetching(scratch / "c"), worth_keeping([first, second, third], OBJECTIVES))
    assert kept(keeper.folder) == ["erm/a/1", "erm/b/1"]
    assert (keeper.path("erm", "b", 1) / "model").read_text() == "b 1"


def test_spaces_do_not_compete(tmp_path):
    scratch, keeper = tmp_path / "scratch", StudyKeeper(tmp_path / "best")
    mine, other = trial("a", [epoch(shuffled=(0.1, 0))]), trial("b", [epoch(shuffled=(0.9, 0))], space="other")
    for done in (mine, other):
        write(scratch / done.trial_id, 1)
        keeper.offer(done, fetching(scratch / done.trial_id), worth_keeping([done], OBJECTIVES))
    assert kept(keeper.folder) == ["erm/a/1", "other/b/1"]


def test_of_equals_the_one_that_started_earlier_is_kept_whichever_ends_first(tmp_path):
    scratch, keeper = tmp_path / "scratch", StudyKeeper(tmp_path / "best")
    early = trial("early", [epoch(shuffled=(1.0, 0))], number=1)
    late = trial("late", [epoch(shuffled=(1.0, 0))], number=2)
    for done, rivals in ((late, [late]), (early, [late, early])):
        write(scratch / done.trial_id, 1)
        keeper.offer(done, fetching(scratch / done.trial_id), worth_keeping(rivals, OBJECTIVES))
    assert kept(keeper.folder) == ["erm/early/1"]
    assert [row.trial for row in winners([early, late])] == ["early"]


def test_every_seed_of_a_confirmation_is_kept(tmp_path):
    scratch, keeper = tmp_path / "scratch", StudyKeeper(tmp_path / "best")
    done = []
    for seed, accuracy in enumerate((0.9, 0.8, 0.95)):
        done.append(trial(f"seed{seed}", [epoch(shuffled=(accuracy, 0))], number=seed))
        write(scratch / f"seed{seed}", 1)
        everything = {found for one in done for found in worth_keeping([one], OBJECTIVES)}
        keeper.offer(done[-1], fetching(scratch / f"seed{seed}"), everything)
    assert kept(keeper.folder) == ["erm/seed0/1", "erm/seed1/1", "erm/seed2/1"]


def test_a_trial_leaves_alone_what_is_not_its_own(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "model").write_text("mine")
    (tmp_path / "readme").write_text("mine")
    write(tmp_path, 1)
    EpochKeeper(tmp_path).prune([epoch(shuffled=(0.5, 0))])
    assert kept(tmp_path) == ["1", "notes"]
