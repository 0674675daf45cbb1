"""The contrastive loss by hand, and the queues of negatives."""

import math

import pytest
import torch
import torch.nn.functional as F

from bgbias.data.assignment import of_class, other_class
from bgbias.methods.clad import Clad, Queues, contrast
from bgbias.methods.method import build_learner
from bgbias.models.compact_cnn import CompactCnn
from bgbias.randomness import stream


def test_contrast_by_hand():
    one, other = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.6, 0.8], [0.6, 0.8]])
    negatives = torch.tensor([[[0.0, 1.0], [0.8, 0.6]]]).expand(2, 2, 2)
    there = torch.tensor([[True, False], [True, True]])
    found = contrast(one, other, negatives, there, temperature=0.5)
    close, far = math.exp(1.2), [math.exp(0), math.exp(1.6)]
    expected = [-math.log(close / (close + far[0])), -math.log(close / (close + sum(far)))]
    assert found.tolist() == pytest.approx(expected)


def test_without_negatives_there_is_nothing_to_lose():
    empty = torch.zeros(1, 2, 2), torch.zeros(1, 2, dtype=torch.bool)
    assert contrast(torch.eye(2)[:1], torch.eye(2)[1:], *empty, temperature=0.2).item() == 0


def test_a_queue_keeps_the_last_of_each_place():
    queues = Queues(places=3, length=2, width=1)
    queues.put(torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([0, 0, 2, 0]))
    queues.put(torch.tensor([[5.0]]), torch.tensor([0]))
    assert queues.count.tolist() == [4, 0, 1]
    features, there = queues.negatives(torch.tensor([0, 1, 2]))
    assert sorted(features[0, :, 0].tolist()) == [4, 5]
    assert there.tolist() == [[True, True], [False, False], [True, False]]
    assert features[2, 0].item() == 3


def test_negatives_stand_on_the_labels_background_and_are_of_other_classes(load):
    dataset = load("colored-digits", bias_strength=0.5)
    method = Clad(queue=500)
    learner = build_learner(method, dataset.task, CompactCnn().build(dataset.task))
    batch, place = dataset.train.batch(torch.arange(200)), dataset.train.backgrounds.place
    assert not method.loss(learner, batch, stream(0, "draws"))["contrast"].any()
    rng = stream(0, "draws")
    moved = batch.on(of_class(other_class(batch.label, place, rng), place, rng))
    features = F.normalize(learner.output(moved.image).features, dim=1)
    for number in range(10):
        put = moved.place == number
        assert not (batch.label[put] == number).any()
        torch.testing.assert_close(learner.own.features[number, : put.sum()], features[put])
    terms = method.loss(learner, batch, stream(1, "draws"))
    assert (terms["contrast"] > 0).all()
    terms["contrast"].mean().backward()
    assert learner.classifier.body[0].weight.grad.any()
