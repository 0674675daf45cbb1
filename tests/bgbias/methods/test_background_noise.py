"""Noise falls on the background alone, and its cross-entropy is weighed."""

import pytest
import torch
import torch.nn.functional as F
from made_learners import batch_of, learner_of
from torch import nn

from bgbias.methods.background_noise import BackgroundNoise, noisy
from bgbias.randomness import stream


def batch():
    image = torch.rand(400, 3, 4, 4, generator=stream(0, "image"))
    mask = torch.rand(400, 1, 4, 4, generator=stream(1, "mask")) < 0.5
    return batch_of(image, mask, torch.arange(400) % 3)


def test_noise_is_normal_on_the_background_and_none_on_the_object():
    given = batch()
    noise = noisy(given, 0.3, stream(2, "noise")) - given.image
    where = given.mask.expand_as(noise)
    assert not noise[where].any()
    assert noise[~where].mean().item() == pytest.approx(0, abs=0.02)
    assert noise[~where].std().item() == pytest.approx(0.3, rel=0.03)


def test_the_noisy_pictures_cross_entropy_is_added_by_its_weight():
    given, learner = batch(), learner_of(nn.Sequential(nn.Flatten(), nn.Linear(48, 3)))
    terms = BackgroundNoise(noise=0.3, noise_weight=2.0).loss(learner, given, stream(2, "noise"))
    logits = learner(noisy(given, 0.3, stream(2, "noise")))
    assert list(terms) == ["cross_entropy", "noisy_cross_entropy"]
    expected = 2 * F.cross_entropy(logits, given.label, reduction="none")
    torch.testing.assert_close(terms["noisy_cross_entropy"], expected)
