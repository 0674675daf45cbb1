"""Sources of digits: MNIST's own files, or the scans of handwriting that scikit-learn contains."""

import gzip
import math
import zlib
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bgbias.data.split import stratified
from bgbias.errors import DataError

SIDE = 28
CLASSES = tuple(str(digit) for digit in range(10))
MNIST_CACHE = Path.home() / ".cache" / "bgbias"
VALIDATION_SIZE = 5_000
EMBEDDED_HELD_OUT = 300


@dataclass(frozen=True)
class Digits:
    """Grey digits: image [N, 1, 28, 28] uint8 (0 = paper), label [N] int64, source [N] int64."""

    image: Tensor
    label: Tensor
    source: Tensor

    def at(self, index: Tensor) -> "Digits":
        """The digits at `index`."""
        return Digits(self.image[index], self.label[index], self.source[index])


@dataclass(frozen=True)
class DigitSplits:
    """Digits for training, validation and test; no source is in two of them."""

    train: Digits
    validation: Digits
    test: Digits


def mnist(folder: Path | None, split_seed: int) -> DigitSplits:
    """Read MNIST: 55,000 images for training, 5,000 for validation, 10,000 for test.

    Validation is held out from the official training set, stratified by class; test is the official test set.

    Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits".

    Args:
        folder: holds the four IDX files, raw or gzipped, itself or in `MNIST/raw`, with a dash or a dot before `idx`;
            None downloads them.
        split_seed: seed of the validation cut.

    Raises:
        DataError: a file is missing, damaged, or cannot be downloaded.
    """
    files = _mnist_folder(folder)
    train, test = _mnist_part(files, "train", first_source=0), _mnist_part(files, "t10k", first_source=60_000)
    fit, held_out = _cut(train, VALIDATION_SIZE, split_seed)
    return DigitSplits(fit, held_out, test)


def embedded(split_seed: int) -> DigitSplits:
    """scikit-learn's 1,797 real handwritten digits (8 x 8), scaled to 20 x 20 on a 28 x 28 field as MNIST is.

    1,197 for training, 300 for validation, 300 for test, stratified by class.
    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI (its test part).
    """
    table = np.loadtxt(_embedded_file(), delimiter=",", dtype=np.int64)
    small = torch.from_numpy(table[:, :-1]).float().reshape(-1, 1, 8, 8) / 16 * 255
    large = F.interpolate(small, size=(SIDE - 8, SIDE - 8), mode="bilinear", align_corners=False)
    image = F.pad(large, (4, 4, 4, 4)).round().to(torch.uint8)
    everything = Digits(image, torch.from_numpy(table[:, -1]), torch.arange(len(image)))
    rest, test = _cut(everything, EMBEDDED_HELD_OUT, split_seed)
    train, validation = _cut(rest, EMBEDDED_HELD_OUT, split_seed)
    return DigitSplits(train, validation, test)


def _cut(digits: Digits, held_out: int, split_seed: int) -> tuple[Digits, Digits]:
    kept, cut = stratified(digits.label.numpy(), held_out, split_seed)
    return digits.at(torch.from_numpy(kept)), digits.at(torch.from_numpy(cut))


def _embedded_file() -> Path:
    """scikit-learn's file of digits, found without importing scikit-learn, which takes two seconds in every process."""
    return Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")))


def _mnist_folder(folder: Path | None) -> Path:
    from torchvision.datasets import MNIST

    if folder is None:
        try:
            MNIST(MNIST_CACHE, download=True)
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"MNIST could not be downloaded ({error}): give a folder that holds its IDX files"
            ) from None
        folder = MNIST_CACHE
    if not folder.is_dir():
        raise DataError(f"no data folder at {folder}: give a folder that holds MNIST's IDX files")
    nested = folder / "MNIST" / "raw"
    return nested if nested.is_dir() else folder


def _mnist_part(folder: Path, part: str, first_source: int) -> Digits:
    image = _read_idx(folder, f"{part}-images-idx3-ubyte", dimensions=3)
    label = _read_idx(folder, f"{part}-labels-idx1-ubyte", dimensions=1)
    if len(image) != len(label):
        raise DataError(f"{folder}: {part} has {len(image)} images but {len(label)} labels: fetch both again")
    source = torch.arange(first_source, first_source + len(image))
    return Digits(image[:, None], label.long(), source)


def _read_idx(folder: Path, name: str, dimensions: int) -> Tensor:
    """An IDX file of unsigned bytes, raw or gzipped, as a uint8 tensor. Copies on Kaggle have a dot before `idx`."""
    names = [f"{start}{ending}" for start in (name, name.replace("-idx", ".idx")) for ending in ("", ".gz")]
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise DataError(f"no {', '.join(names[:-1])} or {names[-1]} in {folder}: give a folder of MNIST's IDX files")
    file = found[0]
    try:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} cannot be read ({error}): fetch it again") from None
    header = 4 + 4 * dimensions
    if len(data) < header or data[:4] != bytes([0, 0, 8, dimensions]):
        raise DataError(f"{file} is no IDX file of {dimensions} dimensions: fetch it again")
    shape = [int.from_bytes(data[at : at + 4], "big") for at in range(4, header, 4)]
    if len(data) != header + math.prod(shape):
        raise DataError(
            f"{file} holds {len(data) - header} bytes but its header says {math.prod(shape)}: fetch it again"
        )
    return torch.frombuffer(bytearray(data), dtype=torch.uint8, offset=header).reshape(shape)
