import os
import shutil
import threading
import time

import numpy as np
import pytest
import torch

from bgbias.data.checksums import checksum
from bgbias.data.features import Encoder, delete_oldest
from bgbias.data.photographs.stored import StoredPictures
from bgbias.errors import DataError

INDEX = list(torch.arange(7).split(3))
ROWS = torch.arange(14.0).view(7, 2)


def kept(home):
    return sorted(file.name for file in (home / "features").glob("*.npy"))


def encoder(home, identity="body"):
    return Encoder(lambda image: image, identity, home)


def test_rows_are_computed_once_and_read_from_the_disk_after_that(tmp_path):
    asked = []

    def compute(index):
        asked.append(index.tolist())
        return ROWS[index]

    first = encoder(tmp_path).rows("pictures", INDEX, compute)
    again = encoder(tmp_path).rows("pictures", INDEX, compute)
    assert asked == [[0, 1, 2], [3, 4, 5], [6]]
    assert torch.equal(first, ROWS)
    assert torch.equal(again, ROWS)
    again[0] = 99  # private to this process
    assert torch.equal(encoder(tmp_path).rows("pictures", INDEX, compute), ROWS)
    assert sorted(file.suffix for file in (tmp_path / "features").iterdir()) == [".lock", ".npy"]


def test_other_bodies_and_other_pictures_have_other_rows(tmp_path):
    for identity, pictures in (("body", "one"), ("body", "two"), ("other", "one")):
        encoder(tmp_path, identity).rows(pictures, INDEX, lambda index: ROWS[index])
    assert len(kept(tmp_path)) == 3


def test_without_a_home_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert torch.equal(encoder(None).rows("pictures", INDEX, lambda index: ROWS[index]), ROWS)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_computation_leaves_nothing(tmp_path):
    def compute(index):
        if 6 in index:
            raise KeyboardInterrupt
        return ROWS[index]

    with pytest.raises(KeyboardInterrupt):
        encoder(tmp_path).rows("pictures", INDEX, compute)
    assert [file.name for file in (tmp_path / "features").iterdir()] == ["features.lock"]


def test_features_that_are_not_finite_are_refused_and_not_kept(tmp_path):
    broken = ROWS.clone()
    broken[4, 1] = torch.inf
    with pytest.raises(DataError, match="must be finite, but 1 of 7 are not"):
        encoder(tmp_path).rows("pictures", INDEX, lambda index: broken[index])
    assert kept(tmp_path) == []


def test_who_comes_second_waits_and_computes_nothing(tmp_path):
    started, asked = threading.Event(), []

    def slowly(index):
        started.set()
        time.sleep(0.05)
        return ROWS[index]

    def compute(index):
        asked.append(index)
        return ROWS[index]

    first = threading.Thread(target=lambda: encoder(tmp_path).rows("pictures", INDEX, slowly))
    first.start()
    started.wait()
    assert torch.equal(encoder(tmp_path).rows("pictures", INDEX, compute), ROWS)
    first.join()
    assert asked == []


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(
        DataError,
        match=r"needs 0\.00 GB in .*, but .* make room, or lower training/feature_views",
    ):
        encoder(tmp_path).rows("pictures", INDEX, lambda index: ROWS[index])
    assert kept(tmp_path) == []


def test_what_was_not_used_for_longest_is_deleted_first(tmp_path):
    for age, name in enumerate("abcd"):
        file = tmp_path / f"{name}.npy"
        file.write_bytes(bytes(10))
        os.utime(file, ns=(0, 10**9 * (10 - age)))  # a is the newest
    delete_oldest(tmp_path, 30, kept=tmp_path / "d.npy")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.npy", "b.npy", "d.npy"]


def test_checksums_of_nested_tensors_depend_on_every_value():
    one, other = torch.zeros(5000), torch.zeros(5000)
    other[2500] = 1
    assert repr((one,)) == repr((other,))
    assert checksum((one, ("a", None))) != checksum((other, ("a", None)))
    assert checksum(StoredPictures(one, one)) != checksum(StoredPictures(one, other))
    assert checksum(((one,), other)) != checksum((one, (other,)))
    with pytest.raises(TypeError, match="plain values, not of list"):
        checksum([one])


def test_checksums_depend_on_values_types_and_shapes():
    tensor = torch.arange(6)
    found = {checksum(item) for item in (tensor, tensor.view(2, 3), tensor.float(), tensor + 1, "tensor", 3)}
    assert len(found) == 6
    assert checksum(torch.arange(6)) == checksum(tensor)
    tensor[0] = 7
    assert checksum(tensor) != checksum(torch.arange(6))
    assert checksum(torch.from_numpy(np.zeros((0, 3)))) != checksum(torch.zeros(0, 4))
