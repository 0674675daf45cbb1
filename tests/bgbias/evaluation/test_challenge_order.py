"""The guesses that order the Background Challenge, on examples worked by hand."""

import pytest
import torch
from made_learners import foregrounds_of, learner_of
from torch import nn

from bgbias.data.dataset import Variant
from bgbias.evaluation.challenge_order import additive_fit, extrapolated, margins, slopes
from bgbias.methods.erm import Erm
from bgbias.types import OWN_BACKGROUND, Backgrounds


def test_the_guess_worked_by_hand():
    """One answer of a foreground on a background: both give way until neither can."""
    label = torch.tensor([0, 0, 1])
    zero = torch.tensor([0])
    front, effect = additive_fit(label, 2, zero, zero, torch.tensor([[3.0, 0.0]]))
    assert front[0].tolist() == front[1].tolist()
    assert front[2].tolist() == effect[1].tolist() == [0.0, 0.0]
    # sweep 1: front 3, effect 0 / 3; its residual is 0, so nothing changes any more
    assert front[0].tolist() == [3.0, 0.0]
    assert effect[0].tolist() == [0.0, 0.0]


def test_additive_logits_are_recovered_up_to_a_constant():
    rng = torch.Generator().manual_seed(0)
    label = torch.arange(30) % 3
    front, effect = torch.randn(30, 3, generator=rng), torch.randn(20, 3, generator=rng)
    fronts, backs = torch.cartesian_prod(torch.arange(30), torch.arange(20)).T
    guessed_front, guessed_effect = additive_fit(label, 20, fronts, backs, front[fronts] + effect[backs])
    expected = front[:, None] + effect
    assert ((guessed_front[:, None] + guessed_effect) - expected).abs().max() < 0.5
    shown = margins(front, effect, label)
    by_hand = expected[4, 5, label[4]] - max(float(expected[4, 5, k]) for k in range(3) if k != label[4])
    assert shown[4, 5] == by_hand


class Linear(nn.Module):
    """Two logits, linear in the pixels: 1 + x0 + 2 x1 and 3 x0 - x1."""

    def forward(self, image):
        first, second = image.flatten(1).unbind(1)
        return torch.stack([1 + first + 2 * second, 3 * first - second], dim=1)


@pytest.fixture
def beside():
    """Two objects, the left or the right one of two pixels, before three backgrounds of one brightness each."""
    mask = torch.tensor([[True, False], [False, True]]).reshape(2, 1, 1, 2)
    image = torch.tensor([[0.5, 0.0], [0.0, 0.25]]).reshape(2, 1, 1, 2)
    front = foregrounds_of(image, torch.tensor([0, 1]), mask)
    back = torch.tensor([0.0, 0.5, 1.0, 0.0]).reshape(4, 1, 1, 1)
    return Variant(front, Backgrounds(back, torch.zeros(3, dtype=torch.int64), 2), torch.full((2,), OWN_BACKGROUND))


def test_of_a_linear_model_the_continued_margin_is_the_margin_itself(beside):
    logits, slope, start = slopes(Erm(), learner_of(Linear()), beside, torch.tensor([0, 1]), torch.tensor([2, 0]))
    # (0.5, 1) is answered 3.5 and 0.5; (0, 0.25) is answered 1.5 and -0.25
    assert logits.tolist() == [[3.5, 0.5], [1.5, -0.25]]
    # label 0: 1 - 2 x0 + 3 x1 at x0 = 0.5; label 1: -1 + 2 x0 - 3 x1 at x1 = 0.25
    assert slope.flatten(1).tolist() == [[0.0, 3.0], [2.0, 0.0]]
    assert start.tolist() == [0.0, -1.75]
    # the backgrounds are 0, 0.5 and 1
    assert extrapolated(beside, slope, start).tolist() == [[0.0, 1.5, 3.0], [-1.75, -0.75, 0.25]]
    assert not logits.requires_grad
    assert not slope.requires_grad
    assert not start.requires_grad


def test_margins_are_continued_in_full_precision(beside):
    slope, start = torch.full((1, 1, 1, 2), 1 + 2**-12), torch.zeros(1)
    with torch.autocast("cpu", torch.bfloat16):
        found = extrapolated(beside, slope, start)
    assert found.tolist() == [[0.0, 1 + 2**-12, 2 + 2**-11]]


@pytest.mark.parametrize("learning", [False, True])
def test_answers_without_a_gradient_have_no_slope(beside, learning):
    class Fixed(nn.Module):
        def forward(self, image):
            return torch.ones(len(image), 2, requires_grad=learning) * 1.0

    logits, slope, start = slopes(Erm(), learner_of(Fixed()), beside, torch.tensor([1]), torch.tensor([1]))
    assert logits.tolist() == [[1.0, 1.0]]
    assert slope is None
    assert start.tolist() == [0.0]
    assert not logits.requires_grad
    assert not start.requires_grad
