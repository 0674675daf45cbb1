import subprocess
import sys

import pytest

from bgbias.errors import SettingError
from study.record import lock
from study.record.lock import is_unused, locked, new_folder


def test_names_made_in_one_second_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = [new_folder("colored-digits") for _ in range(12)]
    assert len(set(made)) == 12
    assert all(folder.is_dir() and folder.name.startswith("colored-digits-") for folder in made)
    assert {folder.parent for folder in made} == {lock.OUTPUTS}
    assert made[1].name.endswith("-2")


def test_one_process_at_a_time_holds_a_folder(tmp_path):
    other = (
        f"from study.record.lock import locked; from pathlib import Path\nwith locked(Path({str(tmp_path)!r})): pass"
    )
    with locked(tmp_path):
        with pytest.raises(SettingError, match="is being run by another process: wait for its end"), locked(tmp_path):
            pass
        done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False)
        assert "is being run by another process" in done.stderr
    assert subprocess.run([sys.executable, "-c", other], check=False).returncode == 0
    assert is_unused(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(mounted):
    folder = mounted("1m")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    with pytest.raises(SettingError, match=r"cannot be written \(Read-only file system\): copy it"), locked(folder):
        pass


def test_a_folder_with_something_in_it_is_used(tmp_path):
    assert is_unused(tmp_path / "missing")
    assert is_unused(tmp_path)
    (tmp_path / "note").touch()
    assert not is_unused(tmp_path)
    assert not is_unused(tmp_path / "note")
