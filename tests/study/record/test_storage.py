"""Storage on a folder, by its URI and on a real S3 server, and what a trial continues from."""

import shutil
from pathlib import Path

import pytest
import torch

from bgbias.config import RunConfig
from bgbias.errors import CheckpointError, SettingError
from bgbias.files import CHECKSUMS, write_checksums
from study.errors import StorageError
from study.record.storage import Storage, absolute_uri, joined
from study.training import trial_store
from study.training.run import Run
from study.training.trial_store import TrialStore, with_retries

CONFIG = RunConfig.from_flat({"dataset/name": "colored-digits", "method/name": "dynamic_replacement"})


@pytest.fixture(params=["folder", "file", "s3"])
def storage(request, tmp_path):
    if request.param == "s3":
        return Storage(request.getfixturevalue("s3")).below(tmp_path.name)
    return Storage(f"file://{tmp_path}/storage" if request.param == "file" else str(tmp_path / "storage"))


def sealed(folder, **files):
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content)
    write_checksums(folder)
    return folder


def test_what_was_put_is_got_back(storage, tmp_path):
    storage.put(sealed(tmp_path / "in", a="alpha", b="beta"), "trial/state/3")
    storage.get("trial/state/3", tmp_path / "out")
    assert {file.name: file.read_text() for file in (tmp_path / "out").iterdir() if file.name != CHECKSUMS} == {
        "a": "alpha",
        "b": "beta",
    }
    assert storage.names("trial/state") == ["3"]
    assert storage.names("trial/epoch") == []


def test_a_put_replaces_all_of_an_older_one(storage, tmp_path):
    storage.put(sealed(tmp_path / "old", a="old", left="over"), "x/1")
    storage.put(sealed(tmp_path / "new", a="new"), "x/1")
    storage.get("x/1", tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a", CHECKSUMS]
    assert (tmp_path / "out" / "a").read_text() == "new"


def test_what_is_deleted_or_never_was_is_not_there(storage, tmp_path):
    storage.put(sealed(tmp_path / "in", a="alpha"), "x/1")
    storage.delete("x/1")
    storage.delete("y/7")
    for name in ("x/1", "y/7"):
        with pytest.raises(CheckpointError, match="was cut short"):
            storage.get(name, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert storage.names("x") == []


def test_a_put_that_was_cut_short_is_not_taken_for_whole(tmp_path):
    storage = Storage(str(tmp_path / "storage"))
    folder = sealed(tmp_path / "in", a="alpha", b="beta")
    (folder / "b").unlink()
    storage.put(folder, "x/1")
    with pytest.raises(CheckpointError, match="b is missing or damaged"):
        storage.get("x/1", tmp_path / "out")


def test_places_that_nothing_opens_or_that_hold_a_password_are_refused(tmp_path, monkeypatch):
    with pytest.raises(SettingError, match="cannot be opened"):
        Storage("nowhere://bucket")
    with pytest.raises(SettingError, match="must not hold a password") as refused:
        Storage("s3://somebody:hunter2@bucket/folder")
    assert "hunter2" not in str(refused.value)
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("here") == str(tmp_path / "here")
    assert absolute_uri("s3://bucket") == "s3://bucket"


def test_a_part_of_a_uri_lies_in_its_path():
    assert joined("s3://bucket/a/?region=b", "c") == "s3://bucket/a/c?region=b"
    assert joined("s3://bucket", "c") == "s3://bucket/c"
    assert joined("/shared/what?", "c") == "/shared/what?/c"


@pytest.fixture(scope="module")
def digits(load):
    return load("colored-digits")


def new_run(digits, scratch):
    return Run(CONFIG, digits, torch.device("cpu"), scratch)


def numbers(history):
    return [{key: value for key, value in metrics.items() if "images_per_second" not in key} for metrics in history]


@pytest.fixture(scope="module")
def undisturbed(digits, tmp_path_factory):
    """The metrics of four epochs without a stop, and the last weights."""
    run = new_run(digits, tmp_path_factory.mktemp("undisturbed"))
    for _ in range(4):
        run.epoch()
    return numbers(run.history), run.trainer.learner.state_dict()


def train(run, store, epochs):
    while len(run.history) < epochs:
        run.epoch()
        store.save(run)


def check_as_undisturbed(run, undisturbed):
    history, weights = undisturbed
    assert numbers(run.history) == history
    torch.testing.assert_close(run.trainer.learner.state_dict(), weights, rtol=0, atol=0)


def test_a_trial_goes_on_elsewhere_as_if_never_stopped(storage, digits, tmp_path, undisturbed):
    train(new_run(digits, tmp_path / "here"), TrialStore(storage, "a"), 3)
    run = new_run(digits, tmp_path / "there")
    TrialStore(storage, "a").load(run)
    assert len(run.history) == 3
    train(run, TrialStore(storage, "a"), 4)
    check_as_undisturbed(run, undisturbed)
    assert sorted(storage.names("a/state")) == ["3", "4"]
    TrialStore(storage, "a").delete()
    assert storage.names("a") == []


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES = [
    (truncate, "state.pt"),
    (flip, "state.pt"),
    (flip, "history.jsonl"),
    (Path.unlink, CHECKSUMS),
    (truncate, CHECKSUMS),
]


@pytest.mark.parametrize(("damage", "name"), DAMAGES)
def test_of_a_damaged_state_the_one_before_is_used(damage, name, digits, tmp_path, undisturbed):
    storage = Storage(str(tmp_path / "storage"))
    train(new_run(digits, tmp_path / "here"), TrialStore(storage, "a"), 3)
    damage(tmp_path / "storage" / "a" / "state" / "3" / name)
    run = new_run(digits, tmp_path / "there")
    TrialStore(storage, "a").load(run)
    assert len(run.history) == 2
    train(run, TrialStore(storage, "a"), 4)
    check_as_undisturbed(run, undisturbed)


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
def test_of_damaged_weights_the_state_before_is_used(damage, digits, tmp_path, undisturbed):
    storage = Storage(str(tmp_path / "storage"))
    train(new_run(digits, tmp_path / "here"), TrialStore(storage, "a"), 3)
    damage(tmp_path / "storage" / "a" / "epoch" / "3" / "model.safetensors")
    run = new_run(digits, tmp_path / "there")
    TrialStore(storage, "a").load(run)
    assert len(run.history) == 2
    train(run, TrialStore(storage, "a"), 4)
    check_as_undisturbed(run, undisturbed)


def test_with_nothing_whole_left_a_trial_begins_anew(digits, tmp_path, undisturbed):
    storage = Storage(str(tmp_path / "storage"))
    train(new_run(digits, tmp_path / "here"), TrialStore(storage, "a"), 3)
    for file in (tmp_path / "storage").rglob("model.safetensors"):
        flip(file)
    run = new_run(digits, tmp_path / "there")
    TrialStore(storage, "a").load(run)
    assert run.history == []
    train(run, TrialStore(storage, "a"), 4)
    check_as_undisturbed(run, undisturbed)


@pytest.fixture
def small_disk(mounted):
    return mounted("1m")


def test_a_full_disk_that_is_emptied_in_time_costs_nothing(small_disk, digits, tmp_path, undisturbed, monkeypatch):
    ballast = small_disk / "ballast"
    monkeypatch.setattr(trial_store.time, "sleep", lambda _: ballast.unlink(missing_ok=True))
    store = TrialStore(Storage(str(small_disk / "storage")), "a")
    run = new_run(digits, tmp_path / "here")
    train(run, store, 2)
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free))
    train(run, store, 4)
    check_as_undisturbed(run, undisturbed)
    again = new_run(digits, tmp_path / "there")
    store.load(again)
    check_as_undisturbed(again, undisturbed)


def test_a_disk_that_stays_full_is_named_and_the_state_before_is_whole(small_disk, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(trial_store, "WAITS", (0.0, 0.0))
    store = TrialStore(Storage(str(small_disk / "storage")), "a")
    run = new_run(digits, tmp_path / "here")
    train(run, store, 2)
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    run.epoch()
    with pytest.raises(StorageError, match=r"a checkpoint cannot be written \(.*No space left on device.*make room"):
        store.save(run)
    again = new_run(digits, tmp_path / "there")
    store.load(again)
    assert numbers(again.history) == numbers(run.history[:2])


def test_writing_is_tried_again_and_not_for_ever(monkeypatch):
    slept, attempts = [], []
    monkeypatch.setattr(trial_store.time, "sleep", slept.append)

    def fail():
        attempts.append(1)
        raise OSError("gone")

    with pytest.raises(StorageError, match="gone"):
        with_retries(fail)
    assert len(attempts) == len(trial_store.WAITS) + 1
    assert slept == list(trial_store.WAITS)
