import hashlib

import pytest

from bgbias.errors import SettingError
from study.record.config import StudyConfig
from study.record.epoch import EpochReport
from study.record.folder import SEARCH, StudyFolder

CONFIG = StudyConfig(trials=3, settings={"method/p": "0.5"})


@pytest.fixture
def folder(tmp_path):
    made = StudyFolder(tmp_path / "study")
    made.create(CONFIG)
    return made


def test_what_was_asked_is_read_back(folder):
    assert folder.read_config() == CONFIG


def test_a_study_that_never_began_a_trial_is_replaced(folder):
    folder.outbox.write_text("")
    (folder.root / "checkpoints").mkdir()
    folder.create(StudyConfig(trials=5))
    assert folder.read_config().trials == 5
    assert sorted(file.name for file in folder.root.iterdir()) == ["place.txt", "spaces", "study.json"]


def test_a_study_is_not_started_over_another(folder):
    folder.start_trial("a", 1, "erm", SEARCH, {})
    with pytest.raises(SettingError, match="already holds a study: continue it with `study resume`"):
        folder.create(StudyConfig())


def test_a_trial_is_recorded_with_the_checksums_of_what_it_begins_with(folder, tmp_path):
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"any")
    folder.check_data({"train": "3 examples, abc", "file metadata.csv": "sha256 0123"})
    settings = {"dataset/name": "colored-digits", "method/name": "erm"}
    folder.start_trial("a", 1, "erm", SEARCH, settings)
    model = {"model/name": "timm", "model/weights": str(weights)}
    folder.start_trial("b", 2, "erm", SEARCH, {**settings, **model})
    found = [
        {name: value for name, value in trial.origin.items() if name.startswith("sha256")}
        for trial in folder.trials(SEARCH)
    ]
    digest = hashlib.sha256(b"any").hexdigest()
    assert found == [{"sha256/metadata.csv": "0123"}, {"sha256/metadata.csv": "0123", "sha256/weights": digest}]


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(SettingError, match="is not empty and holds no study"),
        StudyFolder(tmp_path).begun(StudyConfig()),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("content", ["", "{", '{"trials": 0}'])
def test_a_damaged_study_file_is_named(folder, content):
    folder.config_file.write_text(content)
    with pytest.raises(SettingError, match=r"study\.json is damaged"):
        folder.read_config()


def test_options_of_another_version_are_named(folder):
    folder.config_file.write_text('{"trials": 4, "objective": "shuffled"}')
    with pytest.raises(
        SettingError, match=r"does not know \(objective\): use the version that the study was begun with"
    ):
        folder.read_config()


def test_trials_are_recorded_in_the_order_they_started(folder):
    for trial_id in ("zz", "aa"):
        folder.start_trial(trial_id, folder.next_number(), "erm", SEARCH, {"seed": 1})
        folder.add_epoch(trial_id, EpochReport(1, {"val/original/accuracy": 0.5}))
    folder.finish_trial("aa")
    first, second = folder.trials(SEARCH)
    assert (first.trial_id, first.number, first.finished) == ("zz", 1, False)
    assert (second.trial_id, second.number, second.finished) == ("aa", 2, True)
    assert folder.finished(SEARCH) == [second]
    assert folder.trials("confirm") == folder.trials(SEARCH, "other") == []


def test_an_epoch_trained_again_takes_the_earlier_ones_place(folder):
    folder.start_trial("a", 1, "erm", SEARCH, {})
    for epoch, value in ((1, 0.1), (2, 0.2), (2, 0.3)):
        folder.add_epoch("a", EpochReport(epoch, {"val/original/accuracy": value}))
    assert [m["val/original/accuracy"] for m in folder.trial("a").history] == [0.1, 0.3]


def test_a_line_cut_short_by_a_crash_is_left_out_and_then_dropped(folder):
    folder.start_trial("a", 1, "erm", SEARCH, {})
    folder.add_epoch("a", EpochReport(1, {"val/original/accuracy": 0.1}))
    history = folder.root / "trials" / "a" / "history.jsonl"
    history.write_text(history.read_text() + '{"epoch": 2, "metr')
    assert len(folder.trial("a").history) == 1
    folder.repair_trial("a")
    folder.add_epoch("a", EpochReport(2, {"val/original/accuracy": 0.2}))
    assert [m["val/original/accuracy"] for m in folder.trial("a").history] == [0.1, 0.2]


def test_a_study_that_starts_is_not_cleared_by_another(folder):
    other = StudyFolder(folder.root)
    with folder.begun(CONFIG):
        folder.outbox.write_text("reports")
        for claim in (other.begun(StudyConfig(trials=5)), other.locked()):
            with pytest.raises(SettingError, match="is being run by another process"), claim:
                pass
        assert folder.read_config() == CONFIG
        assert folder.outbox.read_text() == "reports"
    with other.begun(StudyConfig(trials=5)):
        assert folder.read_config().trials == 5
        assert not folder.outbox.exists()


def test_why_a_trial_failed_is_kept_until_it_finishes_after_all(folder):
    folder.start_trial("a", 1, "erm", SEARCH, {})
    folder.fail_trial("a", "out of memory")
    reason = folder.root / "trials" / "a" / "error.txt"
    assert reason.read_text() == "out of memory"
    folder.finish_trial("a")
    assert not reason.exists()
