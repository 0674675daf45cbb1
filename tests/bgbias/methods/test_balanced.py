import pytest
import torch

from bgbias.methods.balanced import Balanced, balanced_draw, balancing_weight
from bgbias.methods.method import Learner
from bgbias.methods.per_example import PerExample
from bgbias.models.compact_cnn import CompactCnn
from bgbias.randomness import stream
from bgbias.training import make_learner

GROUP = torch.tensor([4, 7, 4, 4, 7, 4, 0])


@pytest.fixture(scope="module")
def digits(load):
    return load("colored-digits", bias_strength=0.9)


def test_a_draw_has_as_many_of_each_group_as_the_smallest():
    drawn = [balanced_draw(GROUP, stream(seed, "draw")) for seed in range(40)]
    for index in drawn:
        assert sorted(GROUP[index].tolist()) == [0, 4, 7]
        assert index.tolist() == sorted(index.tolist())
    assert {int(index) for found in drawn for index in found} == set(range(7))


def test_nothing_is_drawn_from_nothing():
    assert balanced_draw(torch.zeros(0, dtype=torch.int64), stream(0, "draw")).tolist() == []


def test_weights_by_hand():
    found = balancing_weight(GROUP)
    torch.testing.assert_close(found, torch.tensor([7 / 12, 7 / 6, 7 / 12, 7 / 12, 7 / 6, 7 / 12, 7 / 3]))
    assert found.mean().item() == pytest.approx(1)


def test_groups_are_subsampled_once_and_nothing_is_changed_but_train(digits):
    method = Balanced(by="group", how="subsample")
    first, again = (method.prepare(digits, stream(0, "prepare")).train for _ in range(2))
    assert torch.equal(first.foregrounds.source, again.foregrounds.source)
    smallest = digits.training_groups[digits.training_groups > 0].min().item()
    assert set(torch.bincount(first.group).tolist()) == {0, smallest}
    prepared = method.prepare(digits, stream(1, "prepare"))
    assert not torch.equal(prepared.train.foregrounds.source, first.foregrounds.source)
    assert prepared.validation is digits.validation
    assert torch.equal(prepared.training_groups, digits.training_groups)


def test_classes_are_subsampled_to_the_smallest(digits):
    train = Balanced(by="class", how="subsample").prepare(digits, stream(0, "prepare")).train
    smallest = torch.bincount(digits.train.foregrounds.label).min()
    assert torch.bincount(train.foregrounds.label).tolist() == [smallest] * 10


@pytest.mark.parametrize("by", ["class", "group"])
def test_reweighted_groups_have_the_same_sum(digits, by):
    method = Balanced(by=by, how="reweight")
    assert method.prepare(digits, stream(0, "prepare")) is digits
    learner = make_learner(method, CompactCnn(), digits, seed=0)
    method.enter(0, learner, digits, stream(0, "enter"))
    batch = digits.train.batch(torch.arange(len(digits.train)))
    weight = method.weigh(learner, batch, {})
    number = batch.label if by == "class" else batch.group
    sums = torch.zeros(200).double().index_add_(0, number, weight.double()).float()
    torch.testing.assert_close(sums[sums > 0], torch.full_like(sums[sums > 0], len(weight) / len(number.unique())))
    moved = digits.train.batch(torch.arange(9), torch.arange(9))
    assert torch.equal(method.weigh(learner, moved, {}), weight[:9])


def test_what_is_subsampled_has_no_weights(digits):
    method = Balanced(by="group", how="subsample")
    prepared = method.prepare(digits, stream(0, "prepare"))
    learner = make_learner(method, CompactCnn(), prepared, seed=0)
    method.enter(0, learner, prepared, stream(0, "enter"))
    assert method.weigh(learner, prepared.train.batch(torch.arange(5)), {}) is None


def test_numbers_per_example_are_loaded_whatever_their_count_is():
    kept, fresh = (Learner(torch.nn.Linear(1, 1), PerExample(torch.arange(float(n)))) for n in (5, 3))
    fresh.load_state_dict(kept.state_dict())
    assert fresh.own.value.tolist() == [0, 1, 2, 3, 4]
