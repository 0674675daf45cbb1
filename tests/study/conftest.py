"""The `study` command, run in this process."""

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
