"""Group accuracies worked out by hand."""

from dataclasses import replace

import pytest
import torch
from made_learners import black_backgrounds, foregrounds_of, learner_of
from torch import nn

from bgbias.data.dataset import Dataset, Variant
from bgbias.evaluation.evaluator import Predictions, SplitResult
from bgbias.evaluation.groups import Groups, group_accuracies, group_counts
from bgbias.methods.erm import Erm
from bgbias.types import NO_BACKGROUND

# class 0 on place 0: 4 images, 3 correct; on place 1: 2 images, 1 correct; class 1 on place 1: 3 correct of 3;
# class 1 on no background: 1 image, not correct
LABEL = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
PLACE = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1, NO_BACKGROUND])
PREDICTION = torch.tensor([0, 1, 0, 0, 1, 0, 1, 1, 1, 0])
FOUND = Predictions(LABEL, PREDICTION, 0.0, place=PLACE)


def measured(training_label, training_assignment, predictions=FOUND):
    """The groups of a variant `odd` after training on such examples; -1 stands on nothing."""
    label, assignment = torch.tensor(training_label), torch.tensor(training_assignment)
    front = foregrounds_of(torch.zeros(len(label), 1, 2, 2), label)
    train = Variant(front, black_backgrounds(2), assignment)
    dataset = Dataset("made", ("cat", "dog"), ("sea", "land"), train, {}, {})
    learner = learner_of(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
    return Groups().measure(SplitResult(Erm(), learner, dataset, "test", {}, {"odd": predictions}))


def test_worst_mean_and_adjusted_accuracy_by_hand():
    # training: 6 of (0, sea), 1 of (0, land), 3 of (1, land), 5 of (1, sea), which does not occur in the variant
    found = measured([0] * 7 + [1] * 8, [0] * 6 + [1] + [1] * 3 + [0] * 5)
    assert found.values == pytest.approx(
        {
            "test/odd/worst_group_accuracy": 0.0,
            "test/odd/mean_group_accuracy": (3 / 4 + 1 / 2 + 1 + 0) / 4,
            "test/odd/adjusted_accuracy": (6 * 3 / 4 + 1 * 1 / 2 + 3 * 1) / 10,
        }
    )


def test_the_tables_count_each_class_on_each_place_with_none_last():
    tables = measured([0, 1], [0, 1]).tables
    assert list(tables) == ["test/odd/count", "test/odd/correct"]
    for table in tables.values():
        assert (table.rows, table.columns) == (("cat", "dog"), ("sea", "land", "none"))
    assert tables["test/odd/count"].values == ((4, 2, 0), (0, 3, 1))
    assert tables["test/odd/correct"].values == ((3, 1, 0), (0, 3, 0))


def test_counts_without_names():
    count, correct = group_counts(FOUND, 2, 3)
    assert count.tolist() == [[4, 2, 0], [0, 3, 1]]
    assert correct.tolist() == [[3, 1, 0], [0, 3, 0]]


def test_a_variant_without_training_groups_has_no_adjusted_accuracy():
    nowhere = replace(FOUND, place=torch.full_like(PLACE, NO_BACKGROUND))
    found = measured([0, 0, 1], [0, 1, 1], nowhere)
    assert found.values == pytest.approx(
        {"test/odd/worst_group_accuracy": 4 / 6, "test/odd/mean_group_accuracy": (4 / 6 + 3 / 4) / 2}
    )
    assert found.tables["test/odd/count"].values == ((0, 0, 6), (0, 0, 4))


def test_groups_that_do_not_occur_have_no_say():
    count, correct, training = (
        torch.tensor([[2, 0], [0, 1]]),
        torch.tensor([[1, 0], [0, 1]]),
        torch.tensor([[1, 9], [0, 3]]),
    )
    found = group_accuracies(count, correct, training)
    assert found == pytest.approx(
        {"worst_group_accuracy": 0.5, "mean_group_accuracy": 0.75, "adjusted_accuracy": (1 * 0.5 + 3 * 1) / 4}
    )


def test_predictions_on_many_places_each_have_no_groups():
    found = measured([0], [0], Predictions(LABEL, PREDICTION, None))
    assert (found.values, found.tables) == ({}, {})
