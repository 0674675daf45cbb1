import math

import pytest
import torch
from made_learners import learner_of, task_of
from torch import nn

from bgbias.errors import SettingError
from bgbias.methods.group_dro import GroupDro, GroupWeights
from bgbias.methods.group_losses import newest_means, raised
from bgbias.methods.method import CROSS_ENTROPY
from bgbias.models.compact_cnn import CompactCnn
from bgbias.randomness import stream
from bgbias.training import make_learner


@pytest.fixture(scope="module")
def digits(load):
    return load("colored-digits", bias_strength=0.9)


def entered(digits, **fields):
    method = GroupDro(**fields)
    learner = make_learner(method, CompactCnn(), digits, seed=0)
    method.enter(0, learner, digits, stream(0, "enter"))
    return method, learner


def test_one_step_of_two_groups_in_closed_form():
    q, loss, count = torch.tensor([0.5, 0.5]), torch.tensor([2.0, 1.0]), torch.tensor([100, 4])
    rise = math.exp(0.3 * (2 - 1))
    torch.testing.assert_close(raised(q.log(), loss, count, 0.3, 0.0).exp(), torch.tensor([rise, 1.0]) / (1 + rise))
    rise = math.exp(0.3 * ((2 + 3 / 10) - (1 + 3 / 2)))
    torch.testing.assert_close(raised(q.log(), loss, count, 0.3, 3.0).exp(), torch.tensor([rise, 1.0]) / (1 + rise))


def test_a_large_adjustment_tilts_to_the_small_group():
    log_q = torch.tensor([0.5, 0.5]).log()
    for _ in range(200):
        log_q = raised(log_q, torch.ones(2), torch.tensor([100, 4]), 0.01, 5.0)
    assert log_q[1].exp() == pytest.approx(1 / (1 + math.exp(-200 * 0.01 * 5 * (1 / 2 - 1 / 10))), abs=1e-5)
    assert log_q[1].exp() > 0.97


def test_a_group_without_weight_keeps_it_and_a_lost_one_comes_back():
    count = torch.tensor([0, 3, 3])
    log_q = raised(torch.tensor([0.0, 0.6, 0.4]).log(), torch.tensor([9.0, 1e6, 1.0]), count, 0.1, 5.0)
    assert log_q.exp().tolist() == [0, 1, 0]
    log_q = raised(log_q, torch.tensor([9.0, 1.0, 1e6]), count, 0.1, 5.0)
    assert log_q.exp().tolist() == pytest.approx([0, 0.6, 0.4], abs=0.01)


def test_newest_means_by_hand():
    last = torch.tensor([9.0, 9.0, 9.0, 9.0])
    found = newest_means(torch.tensor([1.0, 3.0, 5.0, 7.0]), torch.tensor([2, 2, 3, -1]), last)
    assert found.tolist() == [9, 9, 2, 5]


def test_q_begins_uniform_over_the_groups_of_training(digits):
    _, learner = entered(digits)
    count = digits.training_groups.flatten()
    assert torch.equal(learner.own.count, count)
    torch.testing.assert_close(learner.own.q, (count > 0) / (count > 0).sum())


def test_q_goes_on_in_a_later_stage(digits):
    method, learner = entered(digits, step=0.5)
    loss = torch.rand(60, generator=stream(0, "loss"))
    method.weigh(learner, digits.train.batch(torch.arange(60)), {CROSS_ENTROPY: loss})
    before = learner.own.q
    method.enter(1, learner, digits, stream(0, "enter"))
    assert torch.equal(learner.own.q, before)


def test_over_all_examples_the_weighted_loss_is_the_sum_of_q_times_the_groups_means(digits):
    method, learner = entered(digits, step=0.5)
    index = torch.arange(len(digits.train))
    loss = torch.rand(len(index), generator=stream(0, "loss"))
    batch = digits.train.batch(index)
    weight = method.weigh(learner, batch, {CROSS_ENTROPY: loss})
    means = {g: loss[batch.group == g].mean() for g in batch.group.unique().tolist()}
    expected = sum(learner.own.q[group] * mean for group, mean in means.items())
    torch.testing.assert_close((weight * loss).mean(), expected)
    worst = max(means, key=means.get)
    assert learner.own.q.argmax() == worst


def test_groups_of_equal_loss_keep_equal_weights_however_often_they_occur(digits):
    method, learner = entered(digits, step=0.1)
    for rows in torch.arange(len(digits.train)).split(16):
        method.weigh(learner, digits.train.batch(rows), {CROSS_ENTROPY: torch.full((len(rows),), math.log(10))})
    count = digits.training_groups.flatten()
    assert count[count > 0].max() > 50 * count[count > 0].min()
    torch.testing.assert_close(learner.own.q, (count > 0) / (count > 0).sum())


def test_an_example_keeps_its_group_on_another_background(digits):
    (method, learner), (_, other) = entered(digits), entered(digits)
    loss, index = torch.rand(9, generator=stream(0, "loss")), torch.arange(9)
    own = method.weigh(learner, digits.train.batch(index), {CROSS_ENTROPY: loss})
    moved = method.weigh(other, digits.train.batch(index, torch.arange(9)), {CROSS_ENTROPY: loss})
    assert torch.equal(own, moved)


def test_q_is_noted_by_class_and_place(digits):
    method, learner = entered(digits)
    table = method.notes(learner, {}).tables["q"]
    assert (table.rows, table.columns) == (digits.classes, (*digits.places, "none"))
    assert sum(map(sum, table.values)) == pytest.approx(1)
    assert all(row[-1] == 0 for row in table.values)


def test_a_mean_cross_entropy_is_refused(digits):
    method, learner = entered(digits)
    with pytest.raises(SettingError, match=r"^group_dro needs the cross-entropy of each example, but .*: choose"):
        method.weigh(learner, digits.train.batch(torch.arange(3)), {CROSS_ENTROPY: torch.tensor(1.0)})


def test_another_methods_learner_is_refused():
    learner = learner_of(nn.Linear(2, 2))
    with pytest.raises(TypeError, match="the method needs the GroupWeights that it builds, but got Module"):
        GroupDro().notes(learner, {})
    learner.own = GroupWeights(task_of(classes=2))
    torch.testing.assert_close(learner.own.q, torch.full((6,), 1 / 6))
