import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from made_release import below, files, packed, release
from range_server import Answer

from bgbias.data.photographs import layout
from bgbias.errors import DataError, SettingError, UnknownNameError
from bgbias.prepare.fetch import Patience, fetch, find_release
from bgbias.progress import tracked_by

QUICK = Patience(stall=0.2, waits=(0, 0, 0))
ZEROS = "0" * 64


@pytest.fixture
def home(tmp_path):
    return tmp_path / "data" / "imagenet9"


@pytest.fixture
def get(site, home):
    """Fetch the small release from the server."""

    def run(**options):
        return fetch(release(site.url), home, **{"patience": QUICK, **options})

    return run


@pytest.fixture
def error(get):
    """The message with which fetching fails."""

    def run(kind=DataError, **options):
        with pytest.raises(kind) as caught:
            get(**options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return run


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


DONE = ["bg_challenge", "release.tar.gz", "release.tar.gz.sha256"]


def test_the_release_lies_whole_in_its_layout(site, home, get):
    assert get() == home / "bg_challenge"
    assert below(home / "bg_challenge") == {name.removeprefix("bg_challenge/"): data for name, data in files().items()}
    folder = layout.split_folder(home, layout.MIXED_RAND, layout.TEST)
    assert names(folder) == ["00_dog", "01_bird", "02_wheeled vehicle"]
    assert names(home) == DONE
    assert (home / "release.tar.gz").read_bytes() == site.content


def test_a_connection_cut_again_and_again_gives_the_same_files(site, home, get):
    site.answers = [Answer(cut=20_000), Answer(cut=1, reset=True), Answer(status=502)]
    get()
    assert len(below(home / "bg_challenge")) == 54
    assert (home / "release.tar.gz").read_bytes() == site.content


def test_what_lies_whole_is_left_alone(site, home, get):
    get()
    (home / "release.tar.gz").unlink()
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    assert get(url="http://127.0.0.1:1/gone", sha256=ZEROS) == home / "bg_challenge"
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before
    assert len(site.requests) == 1


def test_an_archive_that_is_there_is_not_downloaded_again(site, home, get):
    home.mkdir(parents=True)
    (home / "release.tar.gz").write_bytes(site.content)
    get()
    assert len(below(home / "bg_challenge")) == 54
    shutil.rmtree(home / "bg_challenge")
    get()
    assert names(home) == DONE
    assert site.requests == []


def test_a_folder_that_is_not_whole_is_named_and_kept(site, home, get, error):
    (get() / "original" / "val" / "00_dog" / "n02080.JPEG").unlink()
    assert error() == (
        f"{home / 'bg_challenge'} is not whole (original/val/00_dog has 1 of 2 files): move it away and fetch again"
    )
    (home / "bg_challenge").rename(home / "away")
    get()
    assert len(below(home / "bg_challenge")) == 54
    assert len(site.requests) == 1


def test_the_checksum_is_kept_as_sha256sum_writes_it(site, home, get):
    get()
    assert (home / "release.tar.gz.sha256").read_text() == f"{sha256(site.content)}  release.tar.gz\n"
    done = subprocess.run(["sha256sum", "-c", "release.tar.gz.sha256"], cwd=home, capture_output=True, check=True)
    assert done.stdout == b"release.tar.gz: OK\n"


def test_a_given_checksum_is_compared_whatever_its_letters(site, get):
    assert get(sha256=sha256(site.content).upper()).is_dir()


def test_another_checksum_than_the_given_one_is_refused_and_nothing_unpacked(site, home, get, error):
    message = error(sha256=ZEROS)
    assert message == (
        f"{home / 'release.tar.gz.part'} has sha256 {sha256(site.content)}, but {ZEROS} was given: "
        "correct it, or delete release.tar.gz.part and fetch again"
    )
    assert names(home) == ["release.tar.gz.part", "release.tar.gz.part.json"]
    get(sha256=sha256(site.content))
    assert names(home) == DONE
    assert len(site.requests) == 1


def test_bytes_corrupted_on_their_way_are_found_by_the_given_checksum(site, home, get, error):
    site.answers = [Answer(corrupt=30_000)]
    right = sha256(site.content)
    assert f"but {right} was given" in error(sha256=right)
    (home / "release.tar.gz.part").unlink()
    get(sha256=right)
    assert names(home) == DONE


def test_bytes_corrupted_on_their_way_are_found_without_a_checksum_and_none_is_kept(site, home, get, error):
    site.answers = [Answer(corrupt=30_000)]
    assert f"{home / 'release.tar.gz'} is damaged (" in error()
    assert names(home) == ["release.tar.gz"]
    (home / "release.tar.gz").unlink()
    get()
    assert (home / "release.tar.gz.sha256").read_text().split()[0] == sha256(site.content)


def test_a_later_archive_has_to_match_the_kept_checksum(site, home, get, error):
    get()
    shutil.rmtree(home / "bg_challenge")
    (home / "release.tar.gz").unlink()
    site.content = packed(contents=dict(reversed(files().items())))
    found = sha256(site.content)
    message = error()
    assert message.startswith(f"{home / 'release.tar.gz.part'} has sha256 {found}, but release.tar.gz.sha256 says ")
    assert message.endswith(
        "delete release.tar.gz.part and fetch again, or if the release has changed, give the new sha256"
    )
    get(sha256=found)
    assert (home / "release.tar.gz.sha256").read_text() == f"{found}  release.tar.gz\n"
    assert len(site.requests) == 2


def test_an_archive_that_went_bad_on_the_disk_is_refused(home, get, error):
    get()
    shutil.rmtree(home / "bg_challenge")
    data = bytearray((home / "release.tar.gz").read_bytes())
    data[30_000] ^= 1
    (home / "release.tar.gz").write_bytes(data)
    assert error().startswith(f"{home / 'release.tar.gz'} has sha256 {sha256(data)}, but release.tar.gz.sha256 says ")


@pytest.mark.parametrize("content", [b"", b"junk  release.tar.gz\n", b"\xff\xfe"])
def test_a_kept_checksum_that_is_none_is_named(site, home, error, content):
    home.mkdir(parents=True)
    (home / "release.tar.gz.sha256").write_bytes(content)
    assert error() == f"{home / 'release.tar.gz.sha256'} holds no sha256: delete it and fetch again"
    assert site.requests == []


@pytest.mark.parametrize("value", ["", "abc", "g" * 64, ZEROS + "0"])
def test_a_checksum_has_64_digits(site, error, value):
    message = error(kind=SettingError, sha256=value)
    assert message == f"sha256 must be 64 hexadecimal digits, but got '{value}': print it with sha256sum"
    assert site.requests == []


def test_an_address_of_no_web_server_is_refused(home, error):
    assert "but got 'file:///etc/passwd'" in error(kind=SettingError, url="file:///etc/passwd")
    assert not home.exists()


def test_another_address_may_be_given(site, home):
    assert fetch(release("http://127.0.0.1:1/gone"), home, url=site.url, patience=QUICK).is_dir()


def test_room_for_the_archive_and_its_files_is_needed_before_the_first_byte(site, home, get, error, monkeypatch):
    usage = namedtuple("usage", "free")
    needed = 3 * len(site.content)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(needed - 1))  # noqa: ARG005
    assert error() == (
        f"release.tar.gz needs 0.00 GB in {home}, but 0.00 GB are free: make room, or give another folder"
    )
    assert (home / "release.tar.gz.part").stat().st_size == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(needed))  # noqa: ARG005
    get()


def test_every_stage_is_tracked_with_its_total(home, get):
    seen = []

    def count(items, what, total):
        items = list(items)
        seen.append((what, len(items), total))
        return items

    with tracked_by(count):
        get()
        shutil.rmtree(home / "bg_challenge")
        get()
    downloading, checking, unpacking = (f"{stage} release.tar.gz" for stage in ("downloading", "checking", "unpacking"))
    assert seen == [(downloading, 1, 1), (unpacking, 54, 54), (checking, 1, 1), (unpacking, 54, 54)]


KILLED = """
import os, signal, sys
from pathlib import Path
from bgbias.prepare.fetch import download, fetch
from bgbias.progress import tracked_by
from made_release import release

download.CHUNK = 4096

def kill(items, what, total):
    for number, item in enumerate(items):
        if what.startswith(sys.argv[3]) and number == int(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield item

with tracked_by(kill):
    fetch(release(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("stage", "after", "left", "ranges"),
    [
        ("downloading", 0, ["release.tar.gz.part", "release.tar.gz.part.json"], [None, "bytes=4096-"]),
        ("unpacking", 30, ["bg_challenge.part", "release.tar.gz"], [None]),
    ],
)
def test_what_was_killed_goes_on(site, home, get, stage, after, left, ranges):
    command = [sys.executable, "-c", KILLED, site.url, home, stage, str(after)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert names(home) == left
    get()
    assert names(home) == DONE
    assert len(below(home / "bg_challenge")) == 54
    assert site.ranges == ranges


def test_the_released_imagenet9_holds_nine_parts_of_4050_files():
    found = find_release("imagenet9")
    assert len(found.counts) == 81
    assert set(found.counts.values()) == {450}
    assert sum(found.counts.values()) == 9 * 4050
    assert "fg_mask/val/02_wheeled vehicle" in found.counts
    assert (found.top, found.archive) == ("bg_challenge", found.url.rsplit("/", 1)[-1])


def test_an_unknown_release_is_told_the_known_ones():
    with pytest.raises(UnknownNameError, match="unknown release 'imagenet': did you mean 'imagenet9'"):
        find_release("imagenet")
