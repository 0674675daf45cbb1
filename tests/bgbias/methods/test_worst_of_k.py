"""The worst background is what brute force finds, and batch statistics do not move."""

import copy

import pytest
import torch
from torch import nn

from bgbias.data.assignment import of_random_class
from bgbias.methods.method import build_learner
from bgbias.methods.worst_of_k import WorstOfK, worst
from bgbias.models.compact_cnn import CompactCnn
from bgbias.models.model import Classifier
from bgbias.randomness import stream


@pytest.fixture(scope="module")
def few(load):
    return load("colored-digits").head(40)


@pytest.fixture(scope="module")
def learner(few):
    torch.manual_seed(0)
    return build_learner(WorstOfK(), few.task, CompactCnn().build(few.task))


@torch.no_grad()
def brute_force(learner, few, examples, drawn):
    chosen = []
    for row in range(len(examples)):
        losses = [
            -learner(few.train.batch(torch.tensor([row]), candidate[None]).image)
            .log_softmax(1)[0, examples.label[row]]
            .item()
            for candidate in drawn[:, row]
        ]
        chosen.append(drawn[losses.index(max(losses)), row])
    return torch.stack(chosen)


def test_the_worst_of_k_backgrounds_is_what_brute_force_finds(few, learner):
    examples = few.training_examples(torch.arange(20), stream(0, "draws"))
    drawn = torch.randint(10, (4, 20), generator=stream(1, "drawn"))
    found = worst(learner, examples, drawn, torch.ones(20, dtype=torch.bool))
    expected = brute_force(learner, few, examples, drawn)
    assert torch.equal(found, expected)
    assert not torch.equal(found, drawn[0])


@pytest.mark.parametrize("otherwise", ["own", "random"])
def test_a_share_of_examples_takes_the_worst_and_the_others_stay_or_are_drawn(few, learner, otherwise):
    n = 40
    examples = few.training_examples(torch.arange(n), stream(0, "draws"))
    found = WorstOfK(k=3, mix=0.5, otherwise=otherwise).assign(learner, examples, stream(1, "assign"))
    rng = stream(1, "assign")
    hard = torch.rand(n, generator=rng) < 0.5
    drawn = of_random_class(4 * n, examples.backgrounds.place, rng).view(4, n)
    rest = examples.background if otherwise == "own" else drawn[3]
    expected = torch.where(hard, brute_force(learner, few, examples, drawn[:3]), rest)
    assert 10 < hard.sum() < 30
    assert torch.equal(found, expected)


def test_nobody_takes_the_worst_with_a_mix_of_zero(few, learner):
    examples = few.training_examples(torch.arange(20), stream(0, "draws"))
    assert torch.equal(WorstOfK(mix=0.0).assign(learner, examples, stream(1, "assign")), examples.background)


def test_batch_statistics_and_modes_stay(few):
    body = nn.Sequential(nn.Conv2d(3, 4, 5), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1))
    method = WorstOfK(mix=1.0)
    learner = build_learner(method, few.task, Classifier(body, nn.Linear(4, 10))).train()
    before = copy.deepcopy(dict(learner.state_dict()))
    method.assign(learner, few.training_examples(torch.arange(20), stream(0, "draws")), stream(1, "assign"))
    torch.testing.assert_close(dict(learner.state_dict()), before, rtol=0, atol=0)
    assert all(part.training for part in learner.modules())
    assert all(parameter.grad is None for parameter in learner.parameters())
