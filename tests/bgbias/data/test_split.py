"""The stratified split, against scikit-learn's."""

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from bgbias.data.split import stratified
from bgbias.errors import DataError


@pytest.mark.parametrize("held_out", [0.1, 0.33, 0.5, 12, 101])
@pytest.mark.parametrize("classes", [2, 9])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_split_of_scikit_learn(held_out, classes, seed):
    label = np.random.default_rng(seed).choice(classes, size=200, p=np.arange(1, classes + 1) / sum(range(classes + 1)))
    label = np.concatenate([label, np.arange(classes).repeat(2)])
    wanted = train_test_split(np.arange(len(label)), test_size=held_out, stratify=label, random_state=seed)
    kept, held = stratified(label, held_out, seed)
    assert kept.tolist() == sorted(wanted[0])
    assert held.tolist() == sorted(wanted[1])


@pytest.mark.parametrize(
    ("label", "held_out", "why"),
    [
        ([0, 0, 1], 1, "a class or group has a single picture, and each side needs one"),
        ([0, 0, 0, 1, 1, 1], 0.1, "5 and 1 pictures are too few for 2 classes or groups on each side"),
        ([0, 0, 0, 1, 1, 1], 5, "1 and 5 pictures are too few for 2 classes or groups on each side"),
    ],
)
def test_what_cannot_be_split_is_refused(label, held_out, why):
    with pytest.raises(DataError, match=f"^{why}$"):
        stratified(np.array(label), held_out, 0)
