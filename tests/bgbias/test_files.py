import hashlib
import json

import pytest

from bgbias.errors import CheckpointError
from bgbias.files import verify_checksums, write_checksums


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").write_text("alpha")
    (tmp_path / "b").write_bytes(bytes(100))
    write_checksums(tmp_path)
    return tmp_path


def test_a_seal_holds_each_files_sha256(folder):
    assert json.loads((folder / "sha256.json").read_text()) == {
        "a": hashlib.sha256(b"alpha").hexdigest(),
        "b": hashlib.sha256(bytes(100)).hexdigest(),
    }
    verify_checksums(folder)


def test_sealing_again_follows_a_change(folder):
    (folder / "a").write_text("omega")
    write_checksums(folder)
    verify_checksums(folder)


def test_later_files_do_not_matter(folder):
    (folder / "c").write_text("later")
    verify_checksums(folder)


@pytest.mark.parametrize("content", [b"", bytes(99), bytes(99) + b"x", bytes(101)])
def test_a_changed_file_is_named(folder, content):
    (folder / "b").write_bytes(content)
    verify_checksums(folder, "a")
    for names in ((), ("b",)):
        with pytest.raises(CheckpointError, match=r"/b is missing or damaged"):
            verify_checksums(folder, *names)


def test_a_missing_file_is_named(folder):
    (folder / "a").unlink()
    with pytest.raises(CheckpointError, match=r"/a is missing or damaged"):
        verify_checksums(folder)


@pytest.mark.parametrize("content", [None, "", "{"])
def test_without_a_readable_seal_a_folder_was_cut_short(folder, content):
    (folder / "sha256.json").unlink() if content is None else (folder / "sha256.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"was cut short: it lacks a readable sha256\.json"):
        verify_checksums(folder)
