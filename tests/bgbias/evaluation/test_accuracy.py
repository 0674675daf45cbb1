from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_learners import learner_of, random_variant
from sklearn.metrics import recall_score
from torch import nn

from bgbias.data.dataset import Dataset
from bgbias.evaluation.accuracy import Accuracy, accuracy, class_accuracies, predict, predict_all
from bgbias.evaluation.evaluator import Predictions, SplitResult
from bgbias.methods.erm import Erm
from bgbias.types import NO_BACKGROUND


def answers(label, prediction, loss=0.0):
    return Predictions(torch.tensor(label), torch.tensor(prediction), loss)


def classifier():
    torch.manual_seed(0)
    return learner_of(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Dropout(0.5)))


def test_accuracy_by_hand():
    assert accuracy(answers([0, 0, 1, 2], [0, 1, 1, 2])) == 0.75


def test_class_accuracies_by_hand():
    assert class_accuracies(answers([0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 0])).tolist() == [0.5, 0.75]


def test_classes_that_do_not_occur_are_ignored():
    assert class_accuracies(answers([0, 0, 4, 4, 4, 4], [0, 0, 4, 4, 4, 2])).tolist() == [1, 0.75]


def test_a_class_that_is_never_answered_counts_as_zero():
    assert class_accuracies(answers([0, 0, 3], [0, 0, 9])).tolist() == [1, 0]


@pytest.mark.parametrize("seed", range(5))
def test_class_accuracies_agree_with_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    label = generator.choice([0, 1, 3, 7], size=200)
    prediction = np.where(generator.random(200) < 0.6, label, generator.integers(0, 8, 200))
    recalls = recall_score(label, prediction, labels=np.unique(label), average=None)
    found = answers(label.tolist(), prediction.tolist())
    assert class_accuracies(found).tolist() == pytest.approx(recalls.tolist())


@dataclass(frozen=True)
class Counted:
    """Rows that note every index they are read at."""

    rows: torch.Tensor
    reads: list[torch.Tensor] = field(default_factory=list)

    @property
    def shape(self):
        return self.rows.shape

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        self.reads.append(index)
        return self.rows[index]


def test_variants_of_the_same_foregrounds_are_predicted_alike_and_read_once():
    plain, learner = random_variant(2_300), classifier()
    image = Counted(plain.foregrounds.image)
    fronts = replace(plain.foregrounds, image=image)
    other = random_variant(1_200, seed=1)
    variants = {"own": plain, "none": plain.assigned(torch.full((2_300,), NO_BACKGROUND)), "other": other}
    alone = {name: predict(Erm(), learner, variant) for name, variant in variants.items()}
    shared = {
        name: replace(variant, foregrounds=fronts) if variant is not other else other
        for name, variant in variants.items()
    }
    together = predict_all(Erm(), learner, shared)
    assert [len(index) for index in image.reads] == [80] * 9 + [79] * 20
    assert list(together) == ["own", "none", "other"]
    for name, found in together.items():
        assert torch.equal(found.logits, alone[name].logits)
        assert torch.equal(found.place, alone[name].place)
        assert found.loss == alone[name].loss
    assert together["own"].place.tolist() == plain.foregrounds.label.tolist()
    assert set(together["none"].place.tolist()) == {NO_BACKGROUND}


def test_predict_answers_every_image_over_several_batches():
    variant, learner = random_variant(2_300), classifier()
    found = predict(Erm(), learner, variant)
    logits = learner.eval()(variant.foregrounds.image)
    assert torch.equal(found.label, variant.foregrounds.label)
    assert torch.equal(found.prediction, logits.argmax(dim=1))
    assert found.loss == pytest.approx(F.cross_entropy(logits, found.label).item(), rel=1e-6)


def test_predict_leaves_dropout_out_whatever_the_mode():
    variant, learner = random_variant(50), classifier()
    first, again = (predict(Erm(), learner.train(), variant) for _ in range(2))
    assert first.loss == again.loss


def test_predict_asks_the_method():
    class Contrary(Erm):
        def predict(self, learner, image):
            return -learner(image)

    variant, learner = random_variant(50), classifier()
    expected = (-learner.eval()(variant.foregrounds.image)).argmax(dim=1)
    assert torch.equal(predict(Contrary(), learner, variant).prediction, expected)


def test_predictions_hold_the_place_that_each_image_stands_on():
    variant = random_variant(20)
    assignment = torch.where(torch.arange(20) < 5, NO_BACKGROUND, variant.assignment)
    found = predict(Erm(), classifier(), replace(variant, assignment=assignment))
    assert torch.equal(found.place, assignment)


def measured(split, gaps=None, **predictions):
    train = random_variant(3)
    dataset = Dataset("random", ("a", "b", "c"), ("x", "y", "z"), train, {}, {}, gaps=gaps or {})
    return Accuracy().measure(SplitResult(Erm(), classifier(), dataset, split, {}, predictions)).values


def test_a_variant_has_four_numbers():
    found = measured("val", shuffled=answers([0, 0, 1], [0, 1, 1], 0.5), removed=answers([1], [1], 0.25))
    expected = {
        "val/shuffled/accuracy": 2 / 3,
        "val/shuffled/loss": 0.5,
        "val/shuffled/balanced_accuracy": 0.75,
        "val/shuffled/worst_class_accuracy": 0.5,
        "val/removed/accuracy": 1.0,
        "val/removed/loss": 0.25,
        "val/removed/balanced_accuracy": 1.0,
        "val/removed/worst_class_accuracy": 1.0,
    }
    assert found == pytest.approx(expected)


def test_answers_without_a_loss_have_the_other_three():
    assert measured("test", challenge=answers([0, 1], [0, 0], None)) == {
        "test/challenge/accuracy": 0.5,
        "test/challenge/balanced_accuracy": 0.5,
        "test/challenge/worst_class_accuracy": 0.0,
    }


def test_a_gap_is_the_first_accuracy_minus_the_second_where_both_are_there():
    gaps = {"gap": ("one", "other"), "elsewhere": ("one", "missing")}
    found = measured("test", gaps, one=answers([0, 1, 2, 2], [0, 1, 2, 0]), other=answers([0, 1], [0, 0]))
    assert found["test/gap"] == pytest.approx(0.75 - 0.5)
    assert "test/elsewhere" not in found
