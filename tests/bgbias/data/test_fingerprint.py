"""Fingerprints differ between datasets."""

from dataclasses import replace

import pytest

from bgbias.data.datasets import datasets
from bgbias.data.fingerprint import fingerprint


@pytest.fixture(scope="module")
def digits():
    return datasets.find("colored-digits")().load(None)


def test_the_same_data_have_the_same_fingerprint(digits):
    found = fingerprint(digits)
    assert found == fingerprint(datasets.find("colored-digits")().load(None))
    assert found.keys() == {"train"} | {
        f"{split}/{name}" for split in ("validation", "test") for name in ("original", "shuffled", "removed")
    }
    assert found["train"].startswith("1197 examples, ")


def test_other_pictures_labels_and_counts_are_told_apart(digits):
    before, train = fingerprint(digits), digits.train
    label = train.foregrounds.label.clone()
    label[7] = (label[7] + 1) % 10
    image = train.foregrounds.image.clone()
    image[:, :, 14] = 255 - image[:, :, 14]
    others = [
        train.head(len(train) - 1),
        replace(train, foregrounds=replace(train.foregrounds, label=label)),
        replace(train, foregrounds=replace(train.foregrounds, image=image)),
    ]
    for other in others:
        found = fingerprint(replace(digits, train=other))
        assert [part for part in before if found[part] != before[part]] == ["train"]
