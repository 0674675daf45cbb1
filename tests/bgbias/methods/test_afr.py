import math

import pytest
import torch
from torch import nn

from bgbias.methods.afr import Afr, Before
from bgbias.methods.frozen import with_features
from bgbias.methods.method import Output
from bgbias.models.compact_cnn import CompactCnn
from bgbias.randomness import stream
from bgbias.training import make_learner


@pytest.fixture(scope="module")
def digits(load):
    return load("colored-digits").head(300)


def entered(digits, **fields):
    method = Afr(**fields)
    prepared = method.prepare(digits, stream(0, "prepare"))
    learner = make_learner(method, CompactCnn(), digits, seed=0)
    method.enter(1, learner, prepared, stream(0, "enter"))
    return method, learner, with_features(learner.classifier, prepared).train


def test_weights_by_hand():
    head = nn.Linear(1, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0], [math.log(3)]]))
        head.bias.zero_()
    before = Before(head, 2)
    before.count.copy_(torch.tensor([4, 2]))
    found = before.weight(torch.ones(2, 1), torch.tensor([0, 1]), gamma=2.0)
    torch.testing.assert_close(found, torch.tensor([math.exp(-0.5) / 4, math.exp(-1.5) / 2]))


def test_without_gamma_classes_count_alike(digits):
    method, learner, train = entered(digits, gamma=0.0)
    assert len(train) == 60
    batch = train.batch(torch.arange(60))
    count = torch.bincount(batch.label, minlength=10)
    expected = 60 / ((count > 0).sum() * count[batch.label])
    torch.testing.assert_close(method.weigh(learner, batch, {}), expected)


def test_weights_have_mean_one_and_fall_with_the_probability_before(digits):
    method, learner, train = entered(digits, gamma=8.0)
    batch = train.batch(torch.arange(60))
    weight = method.weigh(learner, batch, {})
    assert weight.mean().item() == pytest.approx(1, rel=1e-5)
    p = learner(batch.image).softmax(dim=1).gather(1, batch.label[:, None])[:, 0]
    count = torch.bincount(batch.label, minlength=10)[batch.label]
    torch.testing.assert_close(weight / weight[0], torch.exp(-8 * (p - p[0])) * count[0] / count, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        learner.classifier.head.weight.zero_()
    assert torch.equal(method.weigh(learner, batch, {}), weight)


def test_the_distance_from_before_by_hand(digits):
    method, learner, train = entered(digits, anchor=0.5)
    batch = train.batch(torch.arange(4))
    output = Output(batch.image, learner(batch.image))
    assert method.penalties(learner, batch, output, stream(0, "draws"))["distance"] == 0
    with torch.no_grad():
        learner.classifier.head.weight[0, :3] += torch.tensor([1.0, -2.0, 0.0])
        learner.classifier.head.bias[1] += 3
    found = method.penalties(learner, batch, output, stream(0, "draws"))["distance"]
    assert found.item() == pytest.approx(0.5 * 14, rel=1e-4)
