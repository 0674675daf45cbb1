import gzip
import shutil

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from bgbias.data.digits.sources import embedded, mnist
from bgbias.errors import DataError

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def same(one, other):
    return all(
        torch.equal(getattr(getattr(one, part), field), getattr(getattr(other, part), field))
        for part in ("train", "validation", "test")
        for field in ("image", "label", "source")
    )


@pytest.fixture
def damaged(mnist_folder, tmp_path):
    """A copy of the folder, to be damaged."""
    return shutil.copytree(mnist_folder, tmp_path / "mnist")


def test_mnist_reads_what_the_files_hold(mnist_folder):
    splits = mnist(mnist_folder, 0)
    packed = gzip.decompress((mnist_folder / "train-images-idx3-ubyte.gz").read_bytes())
    images = torch.from_numpy(np.frombuffer(packed, np.uint8, offset=16).reshape(-1, 1, 28, 28).copy())
    packed = gzip.decompress((mnist_folder / "train-labels-idx1-ubyte.gz").read_bytes())
    labels = torch.from_numpy(np.frombuffer(packed, np.uint8, offset=8).astype(np.int64))
    for part in (splits.train, splits.validation):
        assert torch.equal(part.image, images[part.source])
        assert torch.equal(part.label, labels[part.source])
    images = np.frombuffer((mnist_folder / IMAGES).read_bytes(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    assert np.array_equal(splits.test.image, images)
    assert splits.test.source.tolist() == list(range(60_000, 60_500))


def test_mnist_cuts_a_stratified_validation_set_from_train(mnist_folder):
    splits = mnist(mnist_folder, 0)
    assert [len(part.label) for part in (splits.train, splits.validation, splits.test)] == [1000, 5000, 500]
    assert sorted([*splits.train.source.tolist(), *splits.validation.source.tolist()]) == list(range(6000))
    share = torch.bincount(torch.cat([splits.train.label, splits.validation.label])) * 5 / 6
    assert (torch.bincount(splits.validation.label) - share).abs().max() <= 1


def test_embedded_is_stratified_and_uses_every_digit_once():
    splits = embedded(0)
    parts = (splits.train, splits.validation, splits.test)
    assert [len(part.label) for part in parts] == [1197, 300, 300]
    assert sorted(torch.cat([part.source for part in parts]).tolist()) == list(range(1797))
    total = torch.bincount(torch.cat([part.label for part in parts]))
    for part in parts:
        assert (torch.bincount(part.label) - total * len(part.label) / 1797).abs().max() <= 2


def test_embedded_digits_are_scikit_learn_s_interpolated_within_a_margin_of_four():
    raw, part = load_digits(), embedded(0).test
    assert part.label.tolist() == raw.target[part.source].tolist()
    at = (np.arange(20) + 0.5) * 8 / 20 - 0.5
    weight = np.stack([np.interp(at, np.arange(8), row) for row in np.eye(8)], axis=1)
    large = weight @ (raw.images[part.source] / 16 * 255) @ weight.T
    expected = np.pad(large, ((0, 0), (4, 4), (4, 4)))
    assert np.abs(part.image[:, 0].numpy() - expected).max() <= 0.501


def test_another_split_seed_is_another_cut(mnist_folder):
    for read in (embedded, lambda seed: mnist(mnist_folder, seed)):
        assert same(read(0), read(0))
        assert set(read(0).validation.source.tolist()) != set(read(1).validation.source.tolist())


def test_raw_gzipped_and_nested_files_read_alike(mnist_folder, tmp_path):
    raw, nested = tmp_path / "raw", tmp_path / "nested"
    raw.mkdir()
    for path in mnist_folder.iterdir():
        data = path.read_bytes()
        (raw / path.name.removesuffix(".gz")).write_bytes(gzip.decompress(data) if path.suffix == ".gz" else data)
    shutil.copytree(raw, nested / "MNIST" / "raw")
    expected = mnist(mnist_folder, 0)
    assert same(mnist(raw, 0), expected)
    assert same(mnist(nested, 0), expected)


def cut_short(data):
    return data[:-1]


def without_dimensions(data):
    return data[:6]


def of_floats(data):
    return data[:2] + b"\x0d" + data[3:]


def of_two_dimensions(data):
    return data[:3] + b"\x02" + data[4:]


def not_idx(data):  # noqa: ARG001
    return b"<html>not found</html>"


def empty(data):  # noqa: ARG001
    return b""


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_short, "holds 391999 bytes but its header says 392000: fetch it again"),
        (without_dimensions, "is no IDX file of 3 dimensions: fetch it again"),
        (of_floats, "is no IDX file of 3 dimensions: fetch it again"),
        (of_two_dimensions, "is no IDX file of 3 dimensions: fetch it again"),
        (not_idx, "is no IDX file of 3 dimensions: fetch it again"),
        (empty, "is no IDX file of 3 dimensions: fetch it again"),
    ],
)
def test_a_damaged_file_is_named_with_the_way_out(damaged, damage, message):
    path = damaged / IMAGES
    path.write_bytes(damage(path.read_bytes()))
    assert_one_line_error(damaged, str(path), message)


def with_a_flipped_byte(data):
    return data[:10] + bytes([data[10] ^ 0xFF]) + data[11:]


@pytest.mark.parametrize("damage", [cut_short, not_idx, empty, with_a_flipped_byte])
def test_a_damaged_archive_is_named_with_the_way_out(damaged, damage):
    path = damaged / "train-labels-idx1-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    assert_one_line_error(damaged, str(path), "fetch it again")


def test_names_with_a_dot_are_found_beside_folders_of_the_usual_names(mnist_folder, damaged):
    for file in list(damaged.iterdir()):
        file.rename(file.with_name(file.name.replace("-idx", ".idx")))
    (damaged / IMAGES).mkdir()  # as the copy on Kaggle has them
    assert same(mnist(damaged, 0), mnist(mnist_folder, 0))


def test_a_missing_file_is_named_with_the_folder(damaged):
    (damaged / LABELS).unlink()
    assert_one_line_error(damaged, f"no {LABELS}, {LABELS}.gz, ", f" in {damaged}: give a folder")


def test_a_missing_folder_is_named(tmp_path):
    assert_one_line_error(tmp_path / "nowhere", f"no data folder at {tmp_path / 'nowhere'}", "give a folder")


def test_as_many_labels_as_images_are_needed(damaged):
    path = damaged / LABELS
    path.write_bytes(path.read_bytes()[:4] + (499).to_bytes(4, "big") + path.read_bytes()[8:-1])
    assert_one_line_error(damaged, "t10k has 500 images but 499 labels", "fetch both again")


def assert_one_line_error(folder, *parts):
    with pytest.raises(DataError) as caught:
        mnist(folder, 0)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
