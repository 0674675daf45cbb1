"""Whatever happens to a study's processes, it ends as if nothing had: real processes, really killed."""

import shutil
import signal
import time

import pytest
from running import OPTIONS, PATIENCE, TRIALS, check_mlflow, kill_worker, outcome, run, started, trial_of, wait_until

from study.record.folder import SEARCH, StudyFolder


def check(folder, undisturbed):
    assert outcome(folder) == undisturbed
    check_mlflow(folder, TRIALS)
    assert not any((folder.root / "checkpoints").iterdir())


def truncate_newest_state(folder, trial):
    """Cut the newest state of a trial's short, as a crash of the machine may."""
    states = folder.root / "checkpoints" / trial.trial_id / "state"
    newest = max(states.iterdir(), key=lambda state: int(state.name))
    file = newest / "state.pt"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def stop(number, folder, epochs, *command):
    """Run a command until the study's third trial has so many epochs, then send it a signal."""
    with started(*command) as process:
        wait_until(lambda: trial_of(folder, number=3, epochs=epochs), process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=100)
    assert process.returncode == 128 + number
    assert "`study resume" in errors.strip().splitlines()[-1]
    assert len(folder.finished(SEARCH)) == TRIALS - 1


@pytest.mark.slow
def test_a_study_that_is_stopped_twice_goes_on_as_if_never_stopped(tmp_path, undisturbed):
    folder = StudyFolder(tmp_path / "study")
    stop(signal.SIGINT, folder, 1, "run", *OPTIONS, "--output", folder.root)
    stop(signal.SIGTERM, folder, 4, "resume", folder.root)
    run("resume", folder.root)
    check(folder, undisturbed)


@pytest.mark.slow
def test_a_trial_whose_worker_is_killed_goes_on_from_its_last_epoch(tmp_path, undisturbed):
    folder = StudyFolder(tmp_path / "study")
    with started("run", *OPTIONS, "--output", folder.root) as process:
        wait_until(lambda: trial_of(folder, number=1, epochs=3), process)
        assert kill_worker(process.pid) == 1
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    check(folder, undisturbed)


@pytest.mark.slow
def test_a_study_whose_driver_is_killed_goes_on_even_from_a_checkpoint_that_was_cut_short(tmp_path, undisturbed):
    folder = StudyFolder(tmp_path / "study")
    with started("run", *OPTIONS, "--output", folder.root) as process:
        trial = wait_until(lambda: trial_of(folder, number=3, epochs=2), process)
        process.kill()
    truncate_newest_state(folder, trial)
    run("resume", folder.root)
    check(folder, undisturbed)


@pytest.mark.slow
def test_a_disk_that_is_full_for_a_while_costs_nothing(mounted, undisturbed):
    disk = mounted("30m")
    folder = StudyFolder(disk / "study")
    with started("run", *OPTIONS, "--output", folder.root) as process:
        wait_until(lambda: trial_of(folder, number=1, epochs=1), process)
        filled = disk / "ballast"
        filled.write_bytes(bytes(shutil.disk_usage(disk).free))
        time.sleep(8)
        stored = [state.name for state in folder.root.glob("checkpoints/*/state/*")]
        filled.unlink()
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert len(stored) <= 2
    check(folder, undisturbed)
