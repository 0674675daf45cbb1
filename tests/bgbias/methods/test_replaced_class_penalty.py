"""The loss of the background's class by hand, on replaced examples alone."""

import math
from dataclasses import replace

import pytest
import torch
from made_learners import batch_of, learner_of, task_of
from torch import nn

from bgbias.errors import SettingError
from bgbias.methods.method import Output
from bgbias.methods.replaced_class_penalty import ReplacedClassPenalty, log_odds, unlikelihood

P = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [1.0, 0.0, 0.0]])


def test_unlikelihood_by_hand_and_its_clamp():
    found = unlikelihood((P + 1e-30).log(), torch.tensor([1, 2, 0]))
    assert found.tolist() == pytest.approx([-math.log(0.8), -math.log(0.7), -math.log(1e-6)], rel=1e-5)


def test_log_odds_by_hand():
    found = log_odds(P[:2].log(), torch.tensor([1, 2]), torch.tensor([0, 1]))
    assert found.tolist() == pytest.approx([math.log(1 + 2 / 7), math.log(1 + 0.5)], rel=1e-5)


@pytest.mark.parametrize(("form", "expected"), [("unlikelihood", -math.log(0.8)), ("log_odds", math.log(1 + 2 / 7))])
def test_only_examples_on_another_classs_background_pay(form, expected):
    batch = batch_of(torch.zeros(4, 1, 1, 1), torch.ones(4, 1, 1, 1, dtype=torch.bool))
    batch = replace(batch, place=torch.tensor([1, 0, -1, 1]))
    output = Output(torch.zeros(4, 1), P[:1].log().expand(4, 3))
    method = ReplacedClassPenalty(penalty=2.0, form=form)
    terms = method.penalties(learner_of(nn.Identity()), batch, output, torch.Generator())
    assert terms["replaced_class"].tolist() == pytest.approx([2 * expected, 0, 0, 2 * expected], rel=1e-5)


def test_places_that_are_no_classes_are_refused():
    with pytest.raises(SettingError, match="needs a background class for each class, but there are 4 and 10"):
        ReplacedClassPenalty().build(task_of(places=4), learner_of(nn.Identity()).classifier)
