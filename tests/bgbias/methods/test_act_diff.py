"""Shuffled backgrounds, and the distance of features to theirs."""

import copy

import torch
from made_learners import batch_of, learner_of
from torch import nn

from bgbias.methods.act_diff import ActDiff, shuffled
from bgbias.randomness import stream


def body():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten())


def given(background=1.0):
    image = torch.rand(6, 3, 5, 5, generator=stream(0, "image"))
    mask = torch.rand(6, 1, 5, 5, generator=stream(1, "mask")) < 0.4
    return batch_of(torch.where(mask, image, background * image), mask)


def test_background_pixels_are_permuted_with_their_channels_and_objects_stay():
    batch = given()
    found = shuffled(batch.image, batch.mask, stream(2, "shuffle"))
    for before, after, mask in zip(batch.image, found, batch.mask[:, 0], strict=True):
        assert torch.equal(after[:, mask], before[:, mask])
        pixels, moved = before[:, ~mask].T.tolist(), after[:, ~mask].T.tolist()
        assert sorted(moved) == sorted(pixels)
        assert moved != pixels


def penalty(batch, learner, weight=1.0):
    return ActDiff(difference_weight=weight).loss(learner, batch, stream(3, "draws"))["activation_difference"]


def test_it_is_zero_on_a_black_background_and_its_gradient_is_finite():
    learner = learner_of(nn.Sequential(body(), nn.Linear(4, 2)))
    found = penalty(given(background=0.0), learner)
    assert not found.any()
    found.mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in learner.classifier.body.parameters())


def test_it_is_the_weighted_distance_of_the_features():
    learner, batch = learner_of(nn.Sequential(body(), nn.Linear(4, 2))).eval(), given()
    other = learner.classifier.features(shuffled(batch.image, batch.mask, stream(3, "draws")))
    expected = 0.5 * (learner.classifier.features(batch.image) - other).square().sum(dim=1).sqrt()
    found = penalty(batch, learner, weight=0.5)
    torch.testing.assert_close(found, expected)
    found.mean().backward()
    assert learner.classifier.body[0][0].weight.grad.any()


def test_batch_statistics_move_by_the_first_pass_alone():
    learner, batch = learner_of(nn.Sequential(body(), nn.Linear(4, 2))), given()
    plain = copy.deepcopy(learner)
    penalty(batch, learner)
    plain(batch.image)
    torch.testing.assert_close(dict(learner.named_buffers()), dict(plain.named_buffers()), rtol=0, atol=0)
