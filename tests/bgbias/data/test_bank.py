import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from bgbias.data.photographs import bank
from bgbias.data.photographs.bank import bank_home, centre, decode_mask, decode_picture, list_files, open_bank
from bgbias.errors import DataError

ENDINGS = frozenset({".png"})


def folder_of_pictures(root, count=5):
    """Pictures of one class, each of a single grey value: its number times 10."""
    folder = root / "pictures" / "class"
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (8, 8), (10 * number,) * 3).save(folder / f"{number}.png")
    return root / "pictures"


def opened(root, home, size=8):
    files = list_files(root, ENDINGS)
    return open_bank(home, "pictures", files, decode_picture(size), (size, size, 4), last=0)


def test_rows_follow_the_files_and_the_last_is_the_one_asked_for(tmp_path):
    root = folder_of_pictures(tmp_path)
    found = opened(root, tmp_path / "home")
    assert found.rows.shape == (6, 8, 8, 4)
    assert found.rows[:, 3, 4, 1].tolist() == [0, 10, 20, 30, 40, 0]
    assert not found.rows[..., 3].any()
    assert found.faults == {}


def test_it_is_decoded_once(tmp_path, monkeypatch):
    root = folder_of_pictures(tmp_path)
    first = opened(root, tmp_path / "home")
    monkeypatch.setattr(bank, "_build", None)
    assert torch.equal(opened(root, tmp_path / "home").rows, first.rows)


def test_a_changed_file_makes_another_bank_and_the_old_one_goes(tmp_path):
    root = folder_of_pictures(tmp_path)
    opened(root, tmp_path / "home")
    file = root / "class" / "2.png"
    Image.new("RGB", (8, 8), (99, 99, 99)).save(file)
    os.utime(file, ns=(0, 0))
    assert opened(root, tmp_path / "home").rows[2, 0, 0, 0] == 99
    assert len([entry for entry in (tmp_path / "home").iterdir() if entry.is_dir()]) == 1


def test_unreadable_files_are_named_and_the_others_kept(tmp_path):
    root = folder_of_pictures(tmp_path)
    whole = (root / "class" / "3.png").read_bytes()
    (root / "class" / "3.png").write_bytes(whole[: len(whole) // 2])
    (root / "class" / "4.png").write_bytes(b"no picture")
    found = opened(root, tmp_path / "home")
    assert set(found.faults) == {3, 4}
    assert found.rows[2, 0, 0, 0] == 20
    assert opened(root, tmp_path / "home").faults == found.faults


def test_processes_that_ask_at_the_same_time_build_it_once(tmp_path):
    root, home = folder_of_pictures(tmp_path, count=40), tmp_path / "home"
    with get_context("spawn").Pool(3) as pool:
        built = pool.starmap(inode_of_bank, [(root, home)] * 3)
    assert len(set(built)) == 1


def inode_of_bank(root, home):
    opened(root, home)
    (file,) = home.glob("*/rows.u8")
    return file.stat().st_ino


def test_threads_too(tmp_path):
    root, home = folder_of_pictures(tmp_path), tmp_path / "home"
    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(lambda _: inode_of_bank(root, home), range(3)))) == 1


def test_a_build_that_was_killed_leaves_nothing_that_is_read(tmp_path):
    root, home = folder_of_pictures(tmp_path), tmp_path / "home"

    def dies(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_bank(home, "pictures", list_files(root, ENDINGS), dies, (8, 8, 4), last=0)
    assert [entry.name for entry in home.iterdir() if entry.is_dir() and not entry.name.endswith(".part")] == []
    assert opened(root, home).rows[4, 0, 0, 0] == 40
    assert not list(home.glob("*.part"))


def test_too_little_space_is_told_before_anything_is_written(tmp_path, monkeypatch):
    root = folder_of_pictures(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(DataError, match=r"decoding \d+ pictures needs .* make room, or choose a smaller size"):
        opened(root, tmp_path / "home")


def test_a_larger_picture_is_scaled_and_its_centre_cut_out():
    wide = Image.fromarray(np.arange(40, dtype=np.uint8)[None].repeat(20, axis=0))
    found = np.asarray(centre(wide, 20, Image.Resampling.NEAREST))
    assert found.shape == (20, 20)
    assert found[0].tolist() == list(range(10, 30))
    half = np.asarray(centre(wide, 10, Image.Resampling.NEAREST))
    assert half.shape == (10, 10)
    assert half[0].tolist() == list(range(11, 31, 2))


def test_masks_are_decoded_to_bits(tmp_path):
    mask = np.zeros((16, 16), dtype=np.uint8)
    mask[3, 2:5] = 1
    np.save(tmp_path / "mask.npy", mask)
    found = np.unpackbits(decode_mask(16, {})(tmp_path / "mask.npy"), axis=-1)
    assert np.array_equal(found, mask)


def test_a_mask_of_three_dimensions_or_of_objects_is_refused(tmp_path):
    np.save(tmp_path / "deep.npy", np.zeros((4, 4, 3)))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("deep", "objects"):
        with pytest.raises(ValueError, match=r"two dimensions|allow_pickle"):
            decode_mask(4, {})(tmp_path / f"{name}.npy")


def test_banks_lie_beside_the_data_or_where_that_is_read_only_in_the_users_cache(tmp_path, monkeypatch):
    assert bank_home(tmp_path) == tmp_path / ".banks"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert bank_home(tmp_path).parent == Path.home() / ".cache" / "bgbias" / "banks"
