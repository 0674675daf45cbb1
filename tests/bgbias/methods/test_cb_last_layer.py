import torch
from torch import nn

from bgbias.methods.cb_last_layer import CbLastLayer, reset
from bgbias.models.compact_cnn import CompactCnn
from bgbias.randomness import stream
from bgbias.training import make_learner


def test_classes_of_the_heads_examples_count_alike(load):
    digits = load("colored-digits")
    method = CbLastLayer(data="train", held_out=0.25)
    prepared = method.prepare(digits, stream(0, "prepare"))
    learner = make_learner(method, CompactCnn(), digits, seed=0)
    method.enter(1, learner, prepared, stream(0, "enter"))
    label = prepared.train.foregrounds.label
    count = torch.bincount(label)
    torch.testing.assert_close(learner.own.weight, len(label) / (10 * count))
    batch = prepared.train.batch(torch.arange(6))
    assert torch.equal(method.weigh(learner, batch, {}), learner.own.weight[label[:6]])


def test_a_last_layer_begins_anew_from_the_generator_alone():
    linear, before = nn.Linear(8, 3), torch.get_rng_state()
    was = linear.weight.clone()
    reset(linear, stream(0, "enter"))
    first = linear.weight.clone()
    reset(linear, stream(0, "enter"))
    assert torch.equal(linear.weight, first)
    assert not torch.equal(first, was)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.abs().max() <= 8**-0.5
