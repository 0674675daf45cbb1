import gzip
import random
import shutil
import tarfile
from types import SimpleNamespace

import pytest
from made_release import below, files, member, packed, release

from bgbias.errors import DataError
from bgbias.prepare.fetch.unpack import unpack_release

CLASS = "bg_challenge/original/val/00_dog"


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "data" / "imagenet9"
    folder.mkdir(parents=True)
    return folder


def unpack(home, data):
    (home / "release.tar.gz").write_bytes(data)
    unpack_release(home / "release.tar.gz", release())


def refused(home, data):
    """The error, once it is sure that nothing was left or written elsewhere."""
    with pytest.raises(DataError) as caught:
        unpack(home, data)
    assert [path.name for path in home.parent.parent.rglob("*")] == ["data", "imagenet9", "release.tar.gz"]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_file_is_unpacked_byte_for_byte(home):
    unpack(home, packed())
    assert len(files()) == 54
    assert below(home / "bg_challenge") == {name.removeprefix("bg_challenge/"): data for name, data in files().items()}
    assert sorted(path.name for path in home.iterdir()) == ["bg_challenge", "release.tar.gz"]


def test_folders_dots_and_further_files_of_the_release_are_taken(home):
    contents = {f"./{name}": data for name, data in files().items()}
    folders = [member(name, type=tarfile.DIRTYPE) for name in ("./", "./bg_challenge/", f"./{CLASS}/")]
    unpack(home, packed(*folders, member("./bg_challenge/.DS_Store", b"x"), contents=contents))
    assert len(below(home / "bg_challenge")) == 55


def test_a_hard_link_to_a_file_unpacked_before_is_that_file(home):
    (first, data), *others = files().items()
    second = f"{CLASS}/n02081.JPEG"
    contents = {first: data, **{name: content for name, content in others if name != second}}
    unpack(home, packed(member(second, type=tarfile.LNKTYPE, linkname=first), contents=contents))
    assert (home / second).read_bytes() == data


SYMLINK, HARD_LINK = {"type": tarfile.SYMTYPE}, {"type": tarfile.LNKTYPE}
NO_FILE = "which is no file unpacked before"
EVIL = [
    (member("../evil.JPEG", b"x"), "is not in bg_challenge/"),
    (member("bg_challenge/../../evil.JPEG", b"x"), "is not in bg_challenge/"),
    (member("bg_challenge/..", type=tarfile.DIRTYPE), "is not in bg_challenge/"),
    (member("/bg_challenge/evil.JPEG", b"x"), "is not in bg_challenge/"),
    (member("//evil.JPEG", b"x"), "is not in bg_challenge/"),
    (member("other/evil.JPEG", b"x"), "is not in bg_challenge/"),
    (member("bg_challenge2/evil.JPEG", b"x"), "is not in bg_challenge/"),
    (member(".", b"x"), "is not in bg_challenge/"),
    (member(f"{CLASS}/evil", linkname="/etc", **SYMLINK), "links to '/etc'"),
    (member(f"{CLASS}/evil", linkname="../../../../..", **SYMLINK), "links to '../../../../..'"),
    (member(f"{CLASS}/evil", linkname="n02080.JPEG", **SYMLINK), "links to 'n02080.JPEG'"),
    (member(f"{CLASS}/evil", linkname="/etc/passwd", **HARD_LINK), f"links to '/etc/passwd', {NO_FILE}"),
    (member(f"{CLASS}/evil", linkname="../release.tar.gz", **HARD_LINK), f"links to '../release.tar.gz', {NO_FILE}"),
    (member(f"{CLASS}/evil", linkname=f"{CLASS}/no.JPEG", **HARD_LINK), f"links to '{CLASS}/no.JPEG', {NO_FILE}"),
    (member(f"{CLASS}/evil", type=tarfile.CHRTYPE), "is neither a file nor a folder"),
    (member(f"{CLASS}/evil", type=tarfile.BLKTYPE), "is neither a file nor a folder"),
    (member(f"{CLASS}/evil", type=tarfile.FIFOTYPE), "is neither a file nor a folder"),
    (
        member(f"{CLASS}/evil", pax_headers={"GNU.sparse.map": "0,0", "GNU.sparse.size": "999999999999"}),
        "is neither a file nor a folder",
    ),
]


@pytest.mark.parametrize(("evil", "fault"), EVIL)
def test_a_member_that_does_not_belong_is_named_and_nothing_is_left(home, evil, fault):
    archive = home / "release.tar.gz"
    assert refused(home, packed(evil, member(f"{CLASS}/evil/passwd", b"x"))) == (
        f"{archive} holds {evil[0].name!r}, which {fault}: delete the archive and fetch it from elsewhere"
    )


@pytest.mark.parametrize(
    "name", [f"{CLASS}/nul\0.JPEG", f"{CLASS}/{'n' * 300}.JPEG", f"{CLASS}/n02080.JPEG/below.JPEG"]
)
def test_a_member_that_cannot_be_written_is_an_error(home, name):
    long = member("short", b"x", pax_headers={"path": name})
    assert str(home / "release.tar.gz") in refused(home, packed(long))


def test_an_archive_that_grows_too_much_is_a_bomb(home):
    bomb = packed(member(f"{CLASS}/zeros.JPEG", bytes(10_000_000)))
    assert 20 * len(bomb) < 10_000_000
    message = refused(home, bomb)
    assert message.endswith("unpacks to more than 20 times its size: delete it and fetch it from elsewhere")


def test_a_bomb_behind_the_last_member_is_one_too(home):
    message = refused(home, packed() + gzip.compress(bytes(30_000_000)))
    assert "unpacks to more than 20 times its size" in message


def test_no_more_is_unpacked_than_is_free(home, monkeypatch):
    data = packed(contents={name: content[:300] * 4 for name, content in files().items()})
    room = 3 * len(data)
    assert 2 * len(data) < room < len(gzip.decompress(data))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=room))
    assert refused(home, data).endswith("unpacks to more than the 0.00 GB that are free: make room and fetch again")


def test_twice_the_archive_has_to_be_free_to_begin(home, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * len(packed()) - 1))
    assert refused(home, packed()).startswith("unpacking release.tar.gz needs 0.00 GB")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10 * len(packed())))
    unpack(home, packed())


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


DAMAGED = {
    "cut in the middle": packed()[:30_000],
    "cut before the checksum": packed()[:-8],
    "cut in the checksum": packed()[:-1],
    "a byte of the checksum": flipped(packed(), -8),
    "a byte of the size": flipped(packed(), -1),
    "a byte in the middle": flipped(packed(), 30_000),
    "the first byte": flipped(packed(), 0),
    "not gzip": b"<html>not found</html>",
    "gzip of no tar": gzip.compress(random.Random(0).randbytes(2000)),
    "gzip of nothing": gzip.compress(b""),
    "nothing": b"",
    "rubbish behind": packed() + b"rubbish",
    "no deflate within a file": gzip.compress(gzip.decompress(packed())[:1000]) + packed()[:10] + b"\xff" * 20,
}


@pytest.mark.parametrize("block", [512, 1 << 20])
@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_archive_leaves_nothing(home, monkeypatch, data, block):
    monkeypatch.setattr("bgbias.prepare.fetch.unpack.BLOCK", block)
    message = refused(home, data)
    archive = home / "release.tar.gz"
    assert message.startswith(f"{archive} is damaged (")
    assert message.endswith(f": delete {archive} and fetch again")


def test_wrong_counts_are_named_by_folder(home):
    contents = files()
    gone = ["original/val/00_dog/n02080.JPEG", "only_fg/val/01_bird/n02081.JPEG", "fg_mask/val/00_dog/n02080.npy"]
    for name in gone:
        del contents[f"bg_challenge/{name}"]
    hidden = member(f"{CLASS}/._n02080.JPEG", b"x"), member(f"{CLASS}/notes.txt", b"x")
    message = refused(home, packed(*hidden, contents=contents))
    assert (
        "(original/val/00_dog has 1 of 2 files, only_fg/val/01_bird has 1 of 2 files, "
        f"fg_mask/val/00_dog has 1 of 2 files): {home / 'release.tar.gz'} is not the release, delete"
    ) in message


def test_too_many_files_and_many_faults_are_told_in_short(home):
    contents = {name: data for name, data in files().items() if "/val/02" not in name}
    message = refused(home, packed(member(f"{CLASS}/more.jpg", b"x"), contents=contents))
    assert (
        "(original/val/00_dog has 3 of 2 files, original/val/02_wheeled vehicle has 0 of 2 files, "
        "mixed_same/val/02_wheeled vehicle has 0 of 2 files and 7 folders more)"
    ) in message


def test_what_a_killed_unpacking_left_is_replaced(home):
    left = home / "bg_challenge.part" / "bg_challenge" / "original" / "val" / "00_dog" / "left.JPEG"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    unpack(home, packed())
    assert len(below(home / "bg_challenge")) == 54
    assert not (home / "bg_challenge.part").exists()
