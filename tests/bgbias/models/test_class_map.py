"""A model's outputs scored as other classes."""

import pytest
import torch

from bgbias.data.photographs.imagenet9_classes import CLASS_OF_IMAGENET, CLASSES
from bgbias.errors import DataError, SettingError
from bgbias.models.class_map import ClassScores, class_map


def test_a_class_scores_the_highest_of_its_outputs():
    scores = ClassScores((1, -1, 0, 1), 2)(torch.tensor([[1.0, 5.0, 2.0, 3.0], [4.0, -1.0, 0.0, 3.0]]))
    assert scores.tolist() == [[2.0, 3.0, 5.0], [0.0, 4.0, -1.0]]
    assert ClassScores((1, 0), 2)(torch.tensor([[1.0, 2.0]])).tolist() == [[2.0, 1.0, -torch.inf]]


def test_the_prediction_is_the_class_of_the_highest_output_as_the_challenge_has_it():
    logits = torch.randn(200, 1000, generator=torch.Generator().manual_seed(0))
    mapped = class_map(1000, CLASSES, None)
    assert mapped == CLASS_OF_IMAGENET
    expected = [CLASS_OF_IMAGENET[int(row.argmax())] for row in logits]
    found = ClassScores(mapped, 9)(logits).argmax(dim=1)
    assert [-1 if label == 9 else label for label in found.tolist()] == expected
    assert -1 in expected


def test_folders_of_some_of_the_nine_classes_are_numbered_among_themselves():
    mapped = class_map(1000, ("01_bird", "08_fish"), None)
    assert [label for label in range(1000) if mapped[label] == 1] == [*range(7), *range(389, 398)]
    assert mapped[151] == -1  # a dog
    assert mapped[7] == 0


def test_as_many_outputs_as_folders_are_these():
    assert class_map(3, ("a", "b", "c"), None) is None


def test_a_file_maps_outputs_and_ranges(tmp_path):
    file = tmp_path / "map.csv"
    file.write_text("output,class\n0-2,cat\n 4 , dog\n\n3,owl\n")
    assert class_map(6, ("cat", "dog"), file) == (0, 0, 0, -1, 1, -1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,cat\n6,dog\n", r"map\.csv, line 2 names output 6, but the model has outputs 0 to 5: count them from 0"),
        ("0,cat\n", r"every class folder needs an output, but map\.csv names none for dog: add lines such as"),
        ("0,cat\n1;dog\n", r"line 2 must be <output>,<class> or <first>-<last>,<class>, but is '1;dog'"),
        ("3-1,cat\n", "line 1 must be <output>,<class>"),
    ],
)
def test_a_file_that_maps_wrongly_is_refused(tmp_path, text, message):
    file = tmp_path / "map.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        class_map(6, ("cat", "dog"), file)
    with pytest.raises(DataError, match=r"none\.csv cannot be read \(No such file"):
        class_map(6, ("cat", "dog"), tmp_path / "none.csv")


def test_another_number_of_outputs_needs_a_file():
    message = r"for each of the 2 class folders \(cat, dog\), but this one has 1000: give --classes"
    with pytest.raises(SettingError, match=message):
        class_map(1000, ("cat", "dog"), None)
