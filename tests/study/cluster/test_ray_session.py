"""Place of Ray's own folder: a socket's path has at most 107 bytes."""

import tempfile
from pathlib import Path

import pytest

from bgbias.errors import SettingError
from study.cluster.ray_session import SHORT, SOCKET, SOCKET_BYTES, ray_place, start
from study.scratch import PREFIX


@pytest.mark.parametrize(
    ("temporary", "place"),
    [("/tmp", "/tmp"), ("/" + "x" * 18, "/" + "x" * 18), ("/" + "x" * 19, SHORT)],
)
def test_a_folder_for_temporary_files_that_is_too_long_is_not_used(monkeypatch, temporary, place):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", temporary)
    assert ray_place() == Path(place)
    assert len(f"{ray_place()}/{PREFIX}00000000/{SOCKET}") <= SOCKET_BYTES


def test_a_folder_for_ray_that_is_too_long_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/" + "ü" * 10)
    with pytest.raises(SettingError, match=r"RAY_TMPDIR must be a path of at most 19 bytes, .* of 21: give a shorter"):
        ray_place()
    monkeypatch.setenv("RAY_TMPDIR", "/short")
    assert ray_place() == Path("/short")


def test_a_ray_that_does_not_start_in_time_is_told_in_one_line(monkeypatch, tmp_path):
    def init(**options):  # noqa: ARG001
        raise Exception("The current node timed out during startup.\nMore of it.")

    monkeypatch.setattr("study.cluster.ray_session.ray.init", init)
    with pytest.raises(SettingError) as refused:
        start(None, tmp_path)
    assert str(refused.value) == (
        "Ray could not be started here (The current node timed out during startup.): free memory or processes, then "
        "start again"
    )
