import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import recall_score
from torch import nn

from bgbias.data.dataset import Dataset, Variant
from bgbias.evaluation.accuracy import Predictions, accuracy, predict, summarise, worst_class_accuracy
from bgbias.evaluation.evaluate import evaluate
from bgbias.methods.erm import Erm
from bgbias.types import Backgrounds, Foregrounds


def answers(label, prediction, loss=0.0):
    return Predictions(torch.tensor(label), torch.tensor(prediction), loss)


def random_variant(size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(size, 1, 2, 2, generator=generator)
    label = torch.randint(3, (size,), generator=generator)
    front = Foregrounds(image, torch.ones_like(image, dtype=torch.bool), label, torch.arange(size))
    back = Backgrounds(torch.zeros(4, 1, 1, 1), torch.arange(3))
    return Variant(front, back, label)


def classifier():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Dropout(0.5))


def test_accuracy_by_hand():
    assert accuracy(answers([0, 0, 1, 2], [0, 1, 1, 2])) == 0.75


def test_worst_class_accuracy_by_hand():
    assert worst_class_accuracy(answers([0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 0])) == 0.5


def test_classes_that_do_not_occur_are_ignored():
    assert worst_class_accuracy(answers([0, 0, 4, 4, 4, 4], [0, 0, 4, 4, 4, 2])) == 0.75


def test_a_class_that_is_never_answered_counts_as_zero():
    assert worst_class_accuracy(answers([0, 0, 3], [0, 0, 9])) == 0


@pytest.mark.parametrize("seed", range(5))
def test_worst_class_accuracy_agrees_with_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    label = generator.choice([0, 1, 3, 7], size=200)
    prediction = np.where(generator.random(200) < 0.6, label, generator.integers(0, 8, 200))
    recalls = recall_score(label, prediction, labels=np.unique(label), average=None)
    found = answers(label.tolist(), prediction.tolist())
    assert worst_class_accuracy(found) == pytest.approx(recalls.min(), abs=1e-6)


def test_predict_answers_every_image_over_several_batches():
    variant, module = random_variant(2_300), classifier()
    found = predict(Erm(), module, variant)
    logits = module.eval()(variant.foregrounds.image)
    assert torch.equal(found.label, variant.foregrounds.label)
    assert torch.equal(found.prediction, logits.argmax(dim=1))
    assert found.loss == pytest.approx(F.cross_entropy(logits, found.label).item(), rel=1e-6)


def test_predict_leaves_dropout_out_whatever_the_mode():
    variant, module = random_variant(50), classifier()
    first, again = (predict(Erm(), module.train(), variant) for _ in range(2))
    assert first.loss == again.loss


def test_predict_asks_the_method():
    class Contrary(Erm):
        def predict(self, module, image):
            return -module(image)

    variant, module = random_variant(50), classifier()
    expected = (-module.eval()(variant.foregrounds.image)).argmax(dim=1)
    assert torch.equal(predict(Contrary(), module, variant).prediction, expected)


def test_every_variant_is_evaluated_and_summarised_under_its_name():
    validation, test = random_variant(20, seed=1), random_variant(30, seed=2)
    dataset = Dataset("random", ("a", "b", "c"), validation, {"original": validation}, {"original": test, "odd": test})
    module = classifier()
    found = evaluate(Erm(), module, dataset)
    assert list(found) == ["val/original", "test/original", "test/odd"]
    assert [len(each.label) for each in found.values()] == [20, 30, 30]
    assert torch.equal(found["test/odd"].label, test.foregrounds.label)
    for name, variant in (("val/original", validation), ("test/original", test)):
        assert torch.equal(found[name].prediction, predict(Erm(), module, variant).prediction)


def test_a_summary_holds_three_numbers_a_variant():
    found = {"val/shuffled": answers([0, 0, 1], [0, 1, 1], 0.5), "test/removed": answers([1], [1], 0.25)}
    expected = {
        "val/shuffled/accuracy": 2 / 3,
        "val/shuffled/loss": 0.5,
        "val/shuffled/worst_class_accuracy": 0.5,
        "test/removed/accuracy": 1.0,
        "test/removed/loss": 0.25,
        "test/removed/worst_class_accuracy": 1.0,
    }
    assert summarise(found) == pytest.approx(expected)
