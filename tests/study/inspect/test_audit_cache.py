"""Which of the cached folders of built variants are deleted."""

import json
import os
import time

import pytest
from filelock import FileLock

from study.inspect.audit_cache import MARKER, RECENT, mark, prune

MANY = 10**9


@pytest.fixture
def cached(tmp_path):
    """Makes a folder in the cache that was used so many hours ago."""

    def make(name, hours, images="a", version=3, size=1000, state="manifest.json"):
        folder = tmp_path / name
        (folder / "original").mkdir(parents=True)
        (folder / "original" / "x").write_bytes(bytes(size))
        head = {"settings": {"images": images}, "versions": {"build": version}}
        (folder / state).parent.mkdir(exist_ok=True)
        (folder / state).write_text(json.dumps({"build": head} if state == "manifest.json" else head))
        mark(folder)
        used = time.time() - 3600 * hours
        os.utime(folder / MARKER, (used, used))
        return folder

    return make


def left(tmp_path):
    return {folder.name for folder in tmp_path.iterdir()}


def test_the_longest_unused_are_deleted_until_the_rest_fits(cached, tmp_path):
    kept = cached("kept", 0)
    for name, hours in (("old", 30), ("older", 40), ("new", 20)):
        cached(name, hours, images=name)
    assert prune(tmp_path, kept, MANY) == {}
    deleted = prune(tmp_path, kept, 2_600)
    assert set(deleted) == {tmp_path / "old", tmp_path / "older"}
    assert all(1_000 < size < 6_000 for size in deleted.values())
    assert left(tmp_path) == {"kept", "new"}
    assert set(prune(tmp_path, kept, 0)) == {tmp_path / "new"}
    assert left(tmp_path) == {"kept"}


def test_what_no_audit_finds_again_is_deleted_however_small(cached, tmp_path):
    kept = cached("kept", 0)
    cached("changed", 2)
    cached("unfinished", 2, state=".build/head.json")
    cached("version", 2, images="b", version=2)
    cached("other", 2, images="b")
    prune(tmp_path, kept, MANY)
    assert left(tmp_path) == {"kept", "other"}


def test_what_is_in_use_or_not_an_audits_stays(cached, tmp_path):
    kept = cached("kept", 0)
    cached("recent", RECENT / 3600 - 0.1)
    (cached("own", 50) / "notes.txt").touch()
    (cached("unmarked", 50) / MARKER).unlink()
    building = cached("building", 50, state=".build/head.json")
    with FileLock(building / ".build" / "lock"):
        assert prune(tmp_path, kept, 0) == {}
    assert left(tmp_path) == {"kept", "recent", "own", "unmarked", "building"}
    assert prune(tmp_path, tmp_path / "elsewhere", 0) == {}
    assert prune(tmp_path, kept, 0).keys() == {building}
