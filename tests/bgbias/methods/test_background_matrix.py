"""The matrix's two rules against hand-worked rows."""

import dataclasses
import math

import pytest
import torch

from bgbias.errors import SettingError
from bgbias.methods.background_matrix import BackgroundMatrix, balanced
from bgbias.methods.background_predictions import fitted_predictions, halves
from bgbias.methods.group_losses import raised
from bgbias.methods.method import build_learner
from bgbias.models.compact_cnn import CompactCnn
from bgbias.optimization import Training
from bgbias.randomness import stream
from bgbias.training import Trainer


def test_a_row_rises_where_its_loss_is_high_in_closed_form():
    share = torch.tensor([[0.5, 0.5], [0.2, 0.8]]).log()
    found = raised(
        share, torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([[4.0, 4.0], [9.0, 9.0]]), 0.5, 3.0
    ).exp()
    rise = math.exp(1.0)
    assert found[0].tolist() == pytest.approx([rise / (1 + rise), 1 / (1 + rise)])
    assert found[1].tolist() == pytest.approx([0.2, 0.8])


def test_the_adjustment_favours_small_cells_and_lost_cells_stay_lost():
    share, loss = torch.tensor([[0.5, 0.5, 0.0]]).log(), torch.zeros(1, 3)
    found = raised(share, loss, torch.tensor([[100.0, 0.0, 1.0]]), step=1.0, adjustment=2.0).exp()
    rise = math.exp(2.0 - 0.2)
    assert found[0].tolist() == pytest.approx([1 / (1 + rise), rise / (1 + rise), 0])


def test_balancing_fills_what_kept_examples_lack():
    count, predicted = 10 * torch.eye(3), torch.eye(3)
    found = balanced(count, predicted, torch.ones(3, dtype=torch.bool), replaced=0.5)
    torch.testing.assert_close(found, (1 - torch.eye(3)) / 2)
    found = balanced(count, predicted, torch.ones(3, dtype=torch.bool), replaced=1.0)
    torch.testing.assert_close(found, torch.full((3, 3), 1 / 3))
    kept, replaced = 0.2, 0.8
    found = balanced(count, predicted, torch.ones(3, dtype=torch.bool), replaced)
    torch.testing.assert_close(kept * torch.eye(3) + replaced * found, torch.full((3, 3), 1 / 3))


def test_balancing_is_uniform_where_backgrounds_say_nothing():
    predicted = torch.tensor([[1.0, 0, 0]]).expand(3, 3)
    found = balanced(10 * torch.eye(3), predicted, torch.tensor([True, True, False]), replaced=0.5)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5, 0.0]]).expand(3, 3))


def test_examples_stand_where_the_matrix_says(load):
    dataset = load("colored-digits")
    method = BackgroundMatrix(replaced=0.5, floor=0)
    learner = build_learner(method, dataset.task, CompactCnn().build(dataset.task))
    method.enter(0, learner, dataset, stream(0, "enter"))
    learner.own.log_share.copy_(torch.eye(10).roll(1, dims=1).log())
    examples = dataset.training_examples(torch.arange(1000), stream(0, "examples"))
    place = method.assign(learner, examples, stream(0, "assign"))
    moved = place != examples.label
    assert torch.equal(place[moved], (examples.label[moved] + 1) % 10)
    assert moved.float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_balancing_orders_the_classes_by_their_bias():
    strength = torch.tensor([0.5, 0.6, 0.7, 0.8, 1.0])
    count = torch.diag(strength) + (1 - torch.eye(5)) * ((1 - strength) / 4)[:, None]
    found = balanced(100 * count, torch.eye(5), torch.ones(5, dtype=torch.bool), replaced=0.9)
    overall = count.mean(dim=0)
    torch.testing.assert_close(found, (overall - 0.1 * count) / 0.9)
    rarer_than_elsewhere = found.mean(dim=0) - found.diagonal()
    assert rarer_than_elsewhere.argsort().tolist() == [0, 1, 2, 3, 4]


def test_balancing_begins_without_replacement_and_keeps_its_matrix(load):
    trainer = Trainer(
        BackgroundMatrix(rule="balancing", replaced=0.95),
        CompactCnn(),
        load("colored-digits"),
        Training(epochs=3),
        0,
        torch.device("cpu"),
    )
    replaced, share = [], []
    while not trainer.done:
        trainer.train_epoch()
        replaced.append(trainer.learner.own.replaced.item())
        share.append(trainer.learner.own.share(0).clone())
    assert replaced == pytest.approx([0, 0.95, 0.95])
    torch.testing.assert_close(share[0], torch.full((10, 10), 0.1))
    assert not torch.equal(share[0], share[1])
    assert torch.equal(share[1], share[2])


def test_hard_cells_are_drawn_more_and_the_floor_keeps_the_others(load):
    dataset = load("colored-digits")
    method = BackgroundMatrix(step=0.01, floor=0.1)
    learner = build_learner(method, dataset.task, CompactCnn().build(dataset.task))
    method.enter(0, learner, dataset, stream(0, "enter"))
    examples = dataset.training_examples(torch.arange(500), stream(0, "examples"))
    for _ in range(600):
        batch = examples.on(method.assign(learner, examples, stream(0, "assign")))
        loss = torch.where(batch.place == (batch.label + 3) % 10, 3.0, 0.1)
        assert method.weigh(learner, batch, {"cross_entropy": loss}) is None
    share = learner.own.share(method.floor)
    assert share.argmax(dim=1).tolist() == [(label + 3) % 10 for label in range(10)]
    assert share.max(dim=1).values.tolist() == pytest.approx([0.91] * 10, abs=1e-3)
    assert share.min().item() == pytest.approx(0.01, abs=1e-3)
    table = method.notes(learner, {}).tables["background_matrix"]
    assert table.values[3][6] == pytest.approx(share[3, 6].item())


def test_cells_of_equal_loss_keep_equal_shares_however_often_they_occur(load):
    dataset = load("colored-digits")
    method = BackgroundMatrix(step=0.1, replaced=0.3)
    learner = build_learner(method, dataset.task, CompactCnn().build(dataset.task))
    method.enter(0, learner, dataset, stream(0, "enter"))
    for rows in torch.arange(len(dataset.train)).split(16):
        examples = dataset.training_examples(rows, stream(0, "examples"))
        batch = examples.on(method.assign(learner, examples, stream(0, "assign")))
        method.weigh(learner, batch, {"cross_entropy": torch.full((len(rows),), math.log(10))})
    torch.testing.assert_close(learner.own.share(0), torch.full((10, 10), 0.1))


def test_a_mean_in_place_of_each_examples_loss_is_refused(load):
    dataset = load("colored-digits")
    method = BackgroundMatrix()
    learner = build_learner(method, dataset.task, CompactCnn().build(dataset.task))
    with pytest.raises(SettingError, match="background_matrix needs the cross-entropy of each example"):
        method.weigh(learner, dataset.train.batch(torch.arange(3)), {"cross_entropy": torch.ones(())})


def test_halves_share_only_what_a_class_has_once():
    first, second = halves(torch.tensor([2, 0, 2, 1, 2, 0]))
    assert first.tolist() == [0, 1, 3, 4]
    assert second.tolist() == [2, 3, 5]


def test_a_head_fitted_to_one_colour_for_each_class_predicts_the_class(load):
    dataset = load("colored-digits")
    learner = build_learner(BackgroundMatrix(), dataset.task, CompactCnn().build(dataset.task))
    learner.train()
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    found = fitted_predictions(learner, dataset, stream(0, "fitted"))
    assert torch.equal(found, torch.eye(10))
    assert learner.training
    torch.testing.assert_close(dict(learner.state_dict()), before, rtol=0, atol=0)
    unseen = dataclasses.replace(dataset, training_groups=dataset.training_groups * (torch.arange(11) != 4))
    found = fitted_predictions(learner, unseen, stream(0, "fitted"))
    assert torch.equal(found.sum(dim=1), (torch.arange(10) != 4).float())
