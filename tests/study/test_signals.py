"""A command that is stopped says so in one line, with its exit code, soon, and leaves no process and no scratch."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from made_sources import write_sources
from running import PATIENCE, STUDY, descendants, run, trial_of, wait_until

from study import stopping
from study.record.folder import StudyFolder
from study.scratch import PREFIX, sweep

SECONDS = 10
"""How long a stopped command may take to end."""
HOW = {
    "INT": (signal.SIGINT, False),
    "INT to the group": (signal.SIGINT, True),
    "TERM": (signal.SIGTERM, False),
    "TERM to the group": (signal.SIGTERM, True),
    "HUP": (signal.SIGHUP, False),
}


@pytest.fixture
def temporary():
    """A folder for a command's temporary files, with a path short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp") as folder:
        yield Path(folder)


@contextlib.contextmanager
def started(temporary, *arguments):
    """A command in a session of its own, with a folder of its own for temporary files."""
    with (temporary / "errors").open("w") as errors:
        process = subprocess.Popen(
            [STUDY, *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def stop(process, temporary, how):
    """Stop a command; the last line that it printed, once all is checked that must be so at any moment."""
    number, group = HOW[how]
    below = descendants(process.pid)
    since = time.monotonic()
    (os.killpg if group else os.kill)(process.pid, number)
    code = process.wait(timeout=PATIENCE)
    took = time.monotonic() - since
    printed = (temporary / "errors").read_text()
    assert code == 128 + number, printed
    assert took < SECONDS, f"{took:.1f} s: {printed}"
    assert "Traceback" not in printed
    left = {pid: command for pid, command in below.items() if alive(pid)}
    assert not left
    assert not list(temporary.glob(f"{PREFIX}*"))
    return printed.strip().splitlines()[-1]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


STUDY_RUN = ("run", "dynamic_replacement", "--trials", 3, "--epochs", 40, "--max-concurrent", 1)
MOMENTS = ("imports", "plan", "Ray starts", "trials", "end")


def reached(moment, study, process):
    """Return True if a study's process has reached a moment."""
    match moment:
        case "imports":
            return time.sleep(0.5) is None
        case "plan":
            return study.config_file.exists()
        case "Ray starts":
            return any("gcs_server" in command for command in descendants(process.pid).values())
        case "trials":
            return trial_of(study, number=1)
    return study.report.exists()


def check_run(folder, temporary, moment, how):
    study = StudyFolder(folder / "study")
    epochs = () if moment != "end" else ("--epochs", 1, "--trials", 1)
    with started(temporary, *STUDY_RUN, *epochs, "--output", study.root) as process:
        wait_until(lambda: reached(moment, study, process))
        line = stop(process, temporary, how)
    assert line.startswith("stopped")
    assert ("nothing was begun" if moment == "imports" else f"`study resume {study.root}` continues") in line


@pytest.mark.parametrize(("moment", "how"), [("imports", "INT to the group"), ("trials", "TERM to the group")])
def test_a_study_stops_at_any_moment(tmp_path, temporary, moment, how):
    check_run(tmp_path, temporary, moment, how)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("how", HOW)
def test_a_study_stops_at_any_moment_by_any_signal(tmp_path, temporary, moment, how):
    check_run(tmp_path, temporary, moment, how)


def check_train(folder, temporary, how):
    output = folder / "run"
    with started(temporary, "train", "erm", "--epochs", 500, "--output", output) as process:
        wait_until(lambda: (output / "2").exists())
        line = stop(process, temporary, how)
    assert line.endswith("checkpoints of whole epochs are kept; training begins anew with another --output")


def check_build(folder, temporary, how):
    sources, out = write_sources(folder / "sources", each=300), folder / "built"
    command = ("data", "build", "--images", sources / "images", "--masks", sources / "masks", "--out", out)
    with started(temporary, *command, "--size", 32) as process:
        wait_until(lambda: any(out.rglob("*.JPEG")) or any(out.rglob("*.png")))
        line = stop(process, temporary, how)
    assert line == f"stopped by SIG{how.partition(' ')[0]}: the same command continues"


@pytest.mark.parametrize(("check", "how"), [(check_train, "TERM"), (check_build, "INT to the group")])
def test_other_commands_stop_too(tmp_path, temporary, check, how):
    check(tmp_path, temporary, how)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_train, check_build])
@pytest.mark.parametrize("how", HOW)
def test_other_commands_stop_by_any_signal(tmp_path, temporary, check, how):
    check(tmp_path, temporary, how)


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
def test_an_evaluation_stops_too(tmp_path, temporary, photographs_folder, how):
    run(
        "train",
        "erm",
        "--dataset",
        "imagenet9",
        "--data",
        photographs_folder,
        "--epochs",
        1,
        "--output",
        tmp_path / "c",
    )
    with started(temporary, "evaluate", tmp_path / "c" / "1", "--challenge") as process:
        wait_until(lambda: "libtorch_cpu" in Path(f"/proc/{process.pid}/maps").read_text())
        time.sleep(1.5)
        line = stop(process, temporary, how)
    assert line.startswith(f"stopped by SIG{how.partition(' ')[0]}: ")


@pytest.mark.slow
def test_what_a_killed_study_leaves_is_removed_by_the_next(tmp_path, temporary):
    study = StudyFolder(tmp_path / "study")
    with started(temporary, *STUDY_RUN, "--output", study.root) as process:
        wait_until(lambda: trial_of(study, number=1))
        below = descendants(process.pid)
    assert list(temporary.glob(f"{PREFIX}*"))
    wait_until(lambda: not any(map(alive, below)))
    sweep(temporary)
    assert not list(temporary.glob(f"{PREFIX}*"))


DROPPED = {
    "a fork's callback": "os.register_at_fork(after_in_parent=interrupt); os.fork() or os._exit(0)",
    "a finalizer": "type('Owner', (), {'__del__': lambda self: interrupt()})()",
    "a weak reference's callback": "owner = type('Owner', (), {})(); weakref.finalize(owner, interrupt); del owner",
}
AMID = """
import os, signal, sys, time, weakref
from study import stopping

def interrupt():
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000): pass

stopping.install()
stopping.orderly(True)
try:
    %s
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(stopping.stopped())
"""


@pytest.mark.parametrize("where", DROPPED)
def test_a_signal_stops_a_command_amid_what_drops_exceptions(where):
    since = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", AMID % DROPPED[where]], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (143, "stopped by SIGTERM: nothing was begun\n")
    assert time.monotonic() - since < stopping.GRACE_SECONDS


def test_other_dropped_exceptions_are_reported():
    code = "from study import stopping\nstopping.install()\nclass A:\n  def __del__(self): 1 / 0\nA()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Exception ignored in" in ended.stderr
    assert "ZeroDivisionError" in ended.stderr
