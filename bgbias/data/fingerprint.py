"""Fingerprints of a dataset's pictures, wherever its files are."""

import hashlib

import torch

from bgbias.data.dataset import Dataset, Variant

FILE, SHA256 = "file ", "sha256 "
"""Prefixes of the names of files, and of their checksums, among the parts."""
SAMPLE = 64
"""Number of pictures of each variant that are compared."""


def fingerprint(dataset: Dataset) -> dict[str, str]:
    """Identify a dataset's pictures, by part, such as `train` or `test/shuffled`.

    A part's value holds its number of examples and the start of a SHA-256 of all labels and of `SAMPLE` pictures with
    their masks, evenly spread; further values are the SHA-256 of the files that describe them.
    """
    parts = {"train": dataset.train}
    parts |= {f"validation/{name}": variant for name, variant in dataset.validation.items()}
    parts |= {f"test/{name}": variant for name, variant in dataset.test.items()}
    found = {name: f"{len(variant)} examples, {_digest(variant)}" for name, variant in parts.items()}
    return {**found, **{f"{FILE}{name}": f"{SHA256}{digest}" for name, digest in dataset.files.items()}}


def _digest(variant: Variant) -> str:
    digest = hashlib.sha256(variant.foregrounds.label.to(torch.int64).numpy().tobytes())
    if len(variant):
        some = variant.spread(SAMPLE)
        batch = some.batch(torch.arange(len(some)))
        digest.update((255 * batch.image).round().to(torch.uint8).numpy().tobytes())
        digest.update(batch.mask.numpy().tobytes())
    return digest.hexdigest()[:16]
