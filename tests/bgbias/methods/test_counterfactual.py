"""The distance of two predictions by hand, and the backgrounds that are compared."""

import math

import pytest
import torch

from bgbias.data.assignment import elsewhere
from bgbias.methods.counterfactual import Counterfactual, jensen_shannon
from bgbias.methods.method import build_learner
from bgbias.models.compact_cnn import CompactCnn
from bgbias.randomness import stream


def test_jensen_shannon_by_hand():
    p, q = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.3, 0.7]]), torch.tensor([[0.9, 0.1], [0.0, 1.0], [0.3, 0.7]])
    m = [0.7, 0.3]
    first = sum(0.5 * math.log(0.5 / part) for part in m) + 0.9 * math.log(0.9 / 0.7) + 0.1 * math.log(0.1 / 0.3)
    found = jensen_shannon((p + 1e-30).log(), (q + 1e-30).log())
    assert found.tolist() == pytest.approx([first / 2, math.log(2), 0.0], abs=1e-6)


def test_the_other_background_is_of_another_class_each_alike_often(load):
    train = load("colored-digits").train
    batch = train.batch(torch.zeros(4500, dtype=torch.int64))
    other = batch.on(elsewhere(batch, stream(0, "elsewhere"))).place
    count = torch.bincount(other, minlength=10)
    own = batch.place[0]
    assert count[own] == 0
    assert ((count[torch.arange(10) != own] - 500).abs() < 100).all()


@pytest.mark.parametrize("distance", ["jensen_shannon", "squared_logits"])
def test_the_penalty_is_the_weighted_distance_to_the_other_picture_and_moves_the_weights(load, distance):
    dataset = load("colored-digits")
    method = Counterfactual(agreement=3.0, distance=distance)
    learner = build_learner(method, dataset.task, CompactCnn().build(dataset.task))
    batch = dataset.train.batch(torch.arange(12))
    found = method.loss(learner, batch, stream(0, "draws"))["disagreement"]
    one, other = learner(batch.image), learner(batch.on(elsewhere(batch, stream(0, "draws"))).image)
    if distance == "squared_logits":
        expected = 3 * (one - other).square().sum(dim=1) / 10
    else:
        p, q = one.softmax(1), other.softmax(1)
        m = (p + q) / 2
        expected = 1.5 * ((p * (p / m).log()).sum(1) + (q * (q / m).log()).sum(1))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
    found.mean().backward()
    assert all(parameter.grad.any() for parameter in learner.classifier.body.parameters())
