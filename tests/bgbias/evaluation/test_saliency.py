"""Saliency maps against gradients known by hand and torch's own; shares worked out by hand."""

import math

import pytest
import torch
from made_learners import foregrounds_of, learner_of, task_of
from torch import nn

from bgbias.data.dataset import Dataset, Variant, spread
from bgbias.evaluation import saliency
from bgbias.evaluation.evaluate import Evaluation, evaluate
from bgbias.evaluation.saliency import (
    MAPS,
    input_gradient,
    integrated_gradients,
    mask_area,
    mean_share,
    object_saliency,
    share_on_object,
    shares,
)
from bgbias.methods.erm import Erm
from bgbias.models.compact_cnn import CompactCnn
from bgbias.types import OWN_BACKGROUND, Backgrounds

every_map = pytest.mark.parametrize("find", MAPS.values(), ids=MAPS)

WEIGHT = torch.tensor([[1.0, -2.0, 3.0], [0.0, 4.0, 1.0], [-1.0, 1.0, 2.0]])
IMAGE = torch.tensor([[0.5, 1.0, 0.0], [0.2, 0.5, 0.5], [1.0, 0.0, 0.5]])
MASK = torch.tensor([[False, False, False], [False, True, True], [False, True, True]])


class Readout(nn.Module):
    """Logits (r, -r) of images of 3 x 3, with r a function of sum(WEIGHT * image)."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, image):
        value = self.function((WEIGHT * image[:, 0]).sum(dim=(1, 2)))
        return torch.stack([value, -value], dim=1)


def network(seed=0, channels=3):
    """A small network with everything that behaves otherwise in training."""
    torch.manual_seed(seed)
    layers = nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(288, 4)
    return learner_of(nn.Sequential(*layers))


def pictures(count=6, channels=3, side=8, seed=1):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(count, channels, side, side, generator=generator)
    return image, torch.randint(4, (count,), generator=generator)


def test_the_input_gradient_of_a_linear_model_is_its_weights():
    found = input_gradient(Erm(), learner_of(Readout(lambda value: value)), IMAGE[None, None], torch.tensor([1]))
    assert torch.equal(found, WEIGHT.abs()[None])


def test_integrated_gradients_of_a_square_worked_by_hand():
    """With s = sum(w x), the gradient of s^2 along the path is 2 a s w, its mean s w: a map of |x w s|."""
    image = IMAGE.expand(1, 1, 3, 3)
    found = integrated_gradients(Erm(), learner_of(Readout(torch.square)), image, torch.tensor([0]), steps=3)
    total = 0.5 - 2 + 0 + 0 + 2 + 0.5 - 1 + 0 + 1
    torch.testing.assert_close(found[0], (IMAGE * WEIGHT * total).abs(), rtol=1e-5, atol=0)


def test_channels_are_summed_after_their_absolute_values():
    class Colour(nn.Module):
        def forward(self, image):
            value = (image * torch.tensor([2.0, -3.0, 0.5])[:, None, None]).sum(dim=(1, 2, 3))
            return torch.stack([value, -value], dim=1)

    found = input_gradient(Erm(), learner_of(Colour()), torch.rand(2, 3, 2, 2), torch.tensor([0, 1]))
    assert torch.equal(found, torch.full((2, 2, 2), 5.5))


def test_integrated_gradients_are_complete():
    """Where no attribution is negative, a map's sum is the score of the picture minus the score of black."""
    learner, (image, label) = network().eval(), pictures()
    with torch.no_grad():
        classifier = learner.classifier
        for layer in (classifier.body[0], classifier.head):
            layer.weight.abs_()
            layer.bias.zero_()
        classifier.head.weight[1:] = 0
        logits = learner(torch.cat([image, torch.zeros_like(image[:1])]))
    label = torch.zeros_like(label)
    score = logits[:, 0] - logits.mean(dim=1)
    found = integrated_gradients(Erm(), learner, image, label)
    torch.testing.assert_close(found.sum(dim=(1, 2)), score[:-1] - score[-1], rtol=1e-4, atol=0)


def test_the_input_gradient_agrees_with_autograd():
    learner, (image, label) = network(), pictures()
    learner.eval()
    seen = image.clone().requires_grad_()
    logits = learner(seen)
    score = logits.gather(1, label[:, None])[:, 0] - logits.mean(dim=1)
    (expected,) = torch.autograd.grad(score.sum(), seen)
    torch.testing.assert_close(input_gradient(Erm(), learner, image, label), expected.abs().sum(dim=1))


def test_integrated_gradients_agree_with_a_plain_sum():
    learner, (image, label) = network().double().eval(), pictures()
    image, total, steps = image.double(), 0, 600
    for a in (torch.arange(steps) + 0.5) / steps:
        seen = (a * image).requires_grad_()
        logits = learner(seen)
        score = logits.gather(1, label[:, None])[:, 0] - logits.mean(dim=1)
        total = total + torch.autograd.grad(score.sum(), seen)[0]
    expected = (image * total / steps).abs().sum(dim=1)
    found = integrated_gradients(Erm(), learner, image, label, steps=300)
    torch.testing.assert_close(found.sum(dim=(1, 2)), expected.sum(dim=(1, 2)), rtol=5e-3, atol=0)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02 * expected.max().item())


@every_map
def test_what_shifts_all_logits_alike_does_not_show(find):
    class Shifted(Erm):
        def predict(self, learner, image):
            return learner(image) + 5 * image.square().sum(dim=(1, 2, 3))[:, None]

    learner, (image, label) = network(), pictures()
    torch.testing.assert_close(
        find(Shifted(), learner, image, label), find(Erm(), learner, image, label), rtol=1e-3, atol=1e-5
    )


@every_map
def test_the_method_is_asked(find):
    class Doubled(Erm):
        def predict(self, learner, image):
            return 2 * learner(image)

    learner, (image, label) = network(), pictures()
    torch.testing.assert_close(find(Doubled(), learner, image, label), 2 * find(Erm(), learner, image, label))


@every_map
def test_nothing_that_was_handed_over_changes(find):
    learner, (image, label) = network().train(), pictures()
    parameters = list(learner.parameters())
    parameters[0].grad = torch.ones_like(parameters[0])
    state = {name: value.clone() for name, value in learner.state_dict().items()}
    before = image.clone()
    with torch.no_grad():
        first = find(Erm(), learner, image, label)
    again = find(Erm(), learner.train(), image, label)
    assert torch.equal(first, again)
    assert torch.equal(image, before)
    assert not image.requires_grad
    assert not first.requires_grad
    assert torch.equal(parameters[0].grad, torch.ones_like(parameters[0]))
    assert all(parameter.grad is None for parameter in parameters[1:])
    assert all(torch.equal(value, state[name]) for name, value in learner.state_dict().items())


@every_map
@pytest.mark.parametrize("pixels", [1, 5 * 64, 2 * 64 + 5])
def test_passes_change_nothing(find, pixels, monkeypatch):
    learner, (image, label) = network(), pictures()
    at_once = find(Erm(), learner, image, label)
    monkeypatch.setattr(saliency, "PASS_PIXELS", pixels)
    torch.testing.assert_close(find(Erm(), learner, image, label), at_once)


@every_map
def test_no_pass_holds_more_pixels_than_it_may(find, monkeypatch):
    seen = []

    class Counting(Erm):
        def predict(self, learner, image):
            seen.append(len(image))
            return learner(image)

    learner, (image, label) = network(), pictures(count=5)
    monkeypatch.setattr(saliency, "PASS_PIXELS", 3 * 64)
    find(Counting(), learner, image, label)
    assert max(seen) == 3


def test_share_on_object_by_hand():
    """Of |w| = 1 2 3 / 0 4 1 / 1 1 2 the lower right corner holds 4 + 1 + 1 + 2 of 15."""
    found = share_on_object(WEIGHT.abs()[None], MASK[None, None])
    assert found.tolist() == pytest.approx([8 / 15])
    assert mask_area(MASK[None, None]).tolist() == pytest.approx([4 / 9])


def test_a_share_is_one_or_zero_where_all_or_nothing_is_object():
    everywhere = torch.stack([torch.ones(1, 3, 3), torch.zeros(1, 3, 3)]).bool()
    assert share_on_object(WEIGHT.abs().expand(2, 3, 3), everywhere).tolist() == [1, 0]


def test_the_share_of_a_flat_map_is_the_mask_s_area():
    mask = torch.rand(20, 1, 5, 5, generator=torch.Generator().manual_seed(0)) > 0.4
    torch.testing.assert_close(share_on_object(torch.full((20, 5, 5), 0.3), mask), mask_area(mask).float())


def test_a_map_that_is_zero_everywhere_has_no_share_and_is_left_out_of_means():
    maps = torch.stack([WEIGHT.abs(), torch.zeros(3, 3), WEIGHT.abs()])
    found = share_on_object(maps, torch.stack([MASK, MASK, ~MASK])[:, None])
    assert math.isnan(found[1])
    assert mean_share(found) == pytest.approx(0.5)
    assert math.isnan(mean_share(found[1:2]))


def test_examples_are_spread_evenly():
    assert spread(10, 4).tolist() == [0, 2, 5, 7]
    assert spread(3, 5).tolist() == [0, 1, 2]
    assert spread(0, 5).tolist() == []


def made_variant(count=7, seed=0):
    """Pictures shown as they are, whose objects are their right halves."""
    image, label = pictures(count, seed=seed)
    mask = torch.zeros(count, 1, 8, 8, dtype=torch.bool)
    mask[..., 4:] = True
    own = torch.full((count,), OWN_BACKGROUND)
    return Variant(foregrounds_of(image, label, mask), Backgrounds(image[:2], label[:1], 4), own)


def test_shares_are_those_of_the_examples_asked_for():
    learner, variant, index = network(), made_variant(), torch.tensor([5, 0])
    maps = input_gradient(Erm(), learner, variant.foregrounds.image[index], variant.foregrounds.label[index])
    expected = maps[..., 4:].sum(dim=(1, 2)) / maps.sum(dim=(1, 2))
    torch.testing.assert_close(shares(Erm(), learner, variant, index, input_gradient), expected)


def test_the_metric_is_the_mean_over_examples_spread_over_the_variant(monkeypatch):
    learner, variant = network(), made_variant()
    everything = shares(Erm(), learner, variant, torch.arange(7), input_gradient)
    assert object_saliency(Erm(), learner, variant) == pytest.approx(everything.mean().item())
    monkeypatch.setattr(saliency, "IMAGES", 2)
    assert object_saliency(Erm(), learner, variant) == pytest.approx(everything[[0, 3]].mean().item())


def test_it_is_a_metric_of_every_variant_where_it_is_asked_for():
    learner, (first, second) = network(), (made_variant(), made_variant(9, seed=3))
    names = tuple("abcd")
    dataset = Dataset("made", names, names, first, {"odd": first}, {"odd": second, "even": first})
    plain = evaluate(Erm(), learner, dataset, Evaluation().chosen()).metrics
    found = evaluate(Erm(), learner, dataset, Evaluation(also="saliency").chosen())
    asked = found.metrics
    assert list(found.predictions) == ["val/odd", "test/odd", "test/even"]
    assert {name: asked[name] for name in plain} == plain
    assert {name: value for name, value in asked.items() if name not in plain} == {
        "val/odd/object_saliency": object_saliency(Erm(), learner, first),
        "test/odd/object_saliency": object_saliency(Erm(), learner, second),
        "test/even/object_saliency": object_saliency(Erm(), learner, first),
    }


def test_a_network_that_reads_the_object_alone_has_its_saliency_there():
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = CompactCnn().build(task_of((1, 28, 28), 4))

        def forward(self, image):
            return self.network(image * self.inside)

    torch.manual_seed(0)
    network, (image, label) = Cut(), pictures(channels=1, side=28)
    mask = torch.zeros(6, 1, 28, 28, dtype=torch.bool)
    mask[:, :, 8:20, 8:20] = True
    network.inside, learner = mask[:1], learner_of(network)
    for find in MAPS.values():
        assert share_on_object(find(Erm(), learner, image, label), mask).tolist() == [1] * 6
        outside = share_on_object(find(Erm(), learner, image, label), ~mask)
        assert outside.tolist() == [0] * 6
