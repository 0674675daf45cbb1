"""The `study` command, run in this process."""

import os
import subprocess
import sys

import pytest

from study import cli


@pytest.fixture
def study(monkeypatch, capsys):
    """Runs a command; returns its exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["study", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def mounted(tmp_path):
    """Makes a real file system of some size, such as `1m`, and returns its folder."""
    disk = tmp_path / "disk"

    def mount(size):
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small disk needs root")
        return disk

    yield mount
    if os.path.ismount(disk):
        subprocess.run(["umount", str(disk)], check=True)
