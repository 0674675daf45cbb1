import pytest
import torch
from made_learners import learner_of
from scipy.stats import binom, chisquare
from torch import nn

from bgbias.methods.dynamic_replacement import DynamicReplacement, redraw
from bgbias.methods.static_replacement import StaticReplacement
from bgbias.randomness import stream


def everything(load, name="colored-digits"):
    """All training examples on their own backgrounds."""
    train = load(name).train
    return train.batch(torch.arange(len(train)))


def redrawn(load, p, seed=0, name="colored-digits"):
    train = load(name).train
    return redraw(train.assignment, train.backgrounds.place, p, stream(seed, "draws"))


def replaced(load, p, seed=0, name="colored-digits"):
    """All training examples on redrawn backgrounds."""
    train = load(name).train
    return train.batch(torch.arange(len(train)), redrawn(load, p, seed, name))


def test_with_chance_zero_nothing_is_replaced(load):
    assert torch.equal(redrawn(load, 0.0), load("colored-digits").train.assignment)


@pytest.mark.parametrize("p", [0.3, 1.0])
@pytest.mark.parametrize("name", ["colored-digits", "one-pixel-digits"])
def test_each_image_shows_the_background_it_names_and_keeps_its_object(load, name, p):
    batch, backgrounds = everything(load, name), load(name).train.backgrounds
    found = replaced(load, p, name=name)
    paper = (~batch.mask).expand_as(batch.image)
    assert torch.equal(found.image[paper], backgrounds.image[found.background].expand_as(batch.image)[paper])
    assert torch.equal(found.image[~paper], batch.image[~paper])
    assert torch.equal(found.mask, batch.mask)
    assert torch.equal(found.label, batch.label)


def test_with_chance_one_the_classes_of_backgrounds_are_uniform(load):
    count = torch.bincount(redrawn(load, 1.0), minlength=10)
    assert count.sum() == 1197
    assert chisquare(count).pvalue > 1e-3


def test_the_share_replaced_is_the_chance_asked(load):
    before = load("colored-digits").train.assignment
    moved = sum(int((redrawn(load, 0.3, seed) != before).sum()) for seed in range(5))
    low, high = binom.interval(0.999, 5 * 1197, 0.3 * 9 / 10)
    assert low <= moved <= high


def test_examples_are_replaced_whole(load):
    batch, found = everything(load), replaced(load, 0.5)
    kept = found.background == batch.background
    assert 0 < kept.sum() < len(batch)
    assert torch.equal(found.image[kept], batch.image[kept])
    assert (found.image != batch.image)[~kept].flatten(1).any(dim=1).all()


def test_a_dilated_rim_survives_the_replacement(load):
    train = load("colored-digits").dilated(2).train
    examples = train.examples(torch.arange(50))
    found = examples.on(DynamicReplacement(p=1.0).assign(learner_of(nn.Identity()), examples, stream(0, "draws")))
    rim = found.mask & (train.foregrounds.image[:50] == 0)
    assert rim.any()
    assert not found.image[rim.expand_as(found.image)].any()


def test_static_replacement_fixes_one_random_assignment(load):
    dataset = load("colored-digits")
    first, again, other = (
        StaticReplacement().prepare(dataset, stream(seed, "prepare")).train.assignment for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert chisquare(torch.bincount(first, minlength=10)).pvalue > 1e-3
    assert (first == dataset.train.foregrounds.label).float().mean() < 0.2


def test_static_replacement_changes_training_backgrounds_alone(load):
    dataset = load("colored-digits")
    prepared = StaticReplacement().prepare(dataset, stream(0, "prepare"))
    everything = torch.arange(len(dataset.train))
    before, after = dataset.train.batch(everything), prepared.train.batch(everything)
    ink = before.mask.expand_as(before.image)
    assert torch.equal(after.image[ink], before.image[ink])
    assert torch.equal(after.mask, before.mask)
    assert prepared.validation is dataset.validation
    assert prepared.test is dataset.test
    assert torch.equal(dataset.train.assignment, dataset.train.foregrounds.label)
