import pytest
import torch
from made_learners import learner_of, random_variant
from torch import nn

from bgbias.components import make
from bgbias.data.dataset import Dataset
from bgbias.errors import SettingError
from bgbias.evaluation.accuracy import predict
from bgbias.evaluation.evaluate import Evaluation, evaluate
from bgbias.methods.erm import Erm
from bgbias.methods.method import SampledLogits
from bgbias.table import Table

ALWAYS = ["accuracy", "groups", "votes"]


def classifier():
    torch.manual_seed(0)
    return learner_of(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)))


@pytest.fixture(scope="module")
def dataset():
    validation, test = random_variant(20, seed=1), random_variant(30, seed=2)
    variants = {"original": validation}, {"original": test, "odd": test}
    return Dataset("random", ("a", "b", "c"), ("x", "y", "z"), validation, *variants)


def test_every_variant_is_evaluated_and_measured_under_its_name(dataset):
    learner = classifier()
    found = evaluate(Erm(), learner, dataset, Evaluation().chosen())
    predictions = found.predictions
    assert list(predictions) == ["val/original", "test/original", "test/odd"]
    assert [len(each.label) for each in predictions.values()] == [20, 30, 30]
    assert torch.equal(predictions["test/odd"].label, dataset.test["odd"].foregrounds.label)
    for name, variant in (
        ("val/original", dataset.validation["original"]),
        ("test/original", dataset.test["original"]),
    ):
        expected = predict(Erm(), learner, variant)
        assert torch.equal(predictions[name].prediction, expected.prediction)
        assert found.metrics[f"{name}/loss"] == expected.loss
    assert [name for name in found.metrics if name.endswith("/accuracy")] == [
        f"{name}/accuracy" for name in predictions
    ]
    assert list(found.tables) == [f"{name}/{what}" for name in predictions for what in ("count", "correct")]
    assert all(isinstance(table, Table) for table in found.tables.values())


def test_a_vote_is_measured_at_every_number_of_samples(dataset):
    class Voting(Erm):
        def predict(self, learner, image):
            logits = learner(image)
            return SampledLogits(logits, lambda: {0: -logits, 4: logits})

    learner = classifier()
    found = evaluate(Voting(), learner, dataset, Evaluation().chosen())
    label, logits = dataset.test["odd"].foregrounds.label, learner(dataset.test["odd"].foregrounds.image)
    at = {samples: found.metrics[f"test/odd/accuracy_at/{samples}"] for samples in (0, 4)}
    assert at[0] == ((-logits).argmax(dim=1) == label).double().mean().item()
    assert at[4] == (logits.argmax(dim=1) == label).double().mean().item() == found.metrics["test/odd/accuracy"]
    assert not [name for name in evaluate(Erm(), learner, dataset, Evaluation().chosen()).metrics if "_at/" in name]


@pytest.mark.parametrize(
    ("also", "optional"),
    [
        ("", []),
        ("challenge", ["challenge"]),
        ("saliency", ["saliency"]),
        ("saliency, challenge", ["challenge", "saliency"]),
    ],
)
def test_optional_evaluators_run_where_they_are_named(also, optional):
    chosen = sorted(evaluator.name() for evaluator in Evaluation(also=also).chosen())
    assert chosen == sorted([*ALWAYS, *optional])


@pytest.mark.parametrize("also", ["salience", "challenge,salience", "accuracy", "challenge saliency"])
def test_an_unknown_or_a_usual_evaluator_is_refused_with_the_optional_ones(also):
    with pytest.raises(
        SettingError, match=rf"^evaluation/also: .*must hold names among challenge, saliency, but got '{also}'$"
    ):
        make(Evaluation, {"also": also}, "evaluation")
