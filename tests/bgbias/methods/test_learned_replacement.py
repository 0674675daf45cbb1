"""The rules of p: schedules, levels, and the exact gradient on problems whose answers are known."""

import numpy as np
import pytest
import torch
from torch import nn

from bgbias.methods.learned_replacement import (
    Chances,
    LearnedReplacement,
    chance_gradient,
    descend,
    last_layer,
    next_level,
    scheduled,
)
from bgbias.methods.method import Output, build_learner
from bgbias.models.compact_cnn import CompactCnn
from bgbias.models.model import Classifier
from bgbias.randomness import stream


@pytest.mark.parametrize(
    ("rule", "expected"), [("rising", [0, 0.5, 1]), ("falling", [1, 0.5, 0]), ("cosine", [1, 0.5, 0])]
)
def test_schedules_reach_both_ends(rule, expected):
    assert [scheduled(rule, epoch, 3) for epoch in range(3)] == pytest.approx(expected)


def test_a_cosine_falls_slowly_at_first():
    assert scheduled("cosine", 1, 5) == pytest.approx((1 + 0.5**0.5) / 2)


def test_levels_rise_where_every_strength_is_passed_and_fall_elsewhere():
    level = torch.tensor([0, 0, 2, 2, 2])
    accuracy = torch.tensor([[0.7, 0.0, 0.0], [0.6, 1.0, 1.0], [0.7, 0.8, 0.9], [0.7, 0.5, 0.9], [0.9, 0.9, 0.2]])
    assert next_level(level, accuracy, threshold=0.6, highest=9).tolist() == [1, 0, 3, 1, 1]
    assert next_level(level, accuracy, threshold=0.6, highest=2).tolist() == [1, 0, 2, 1, 1]


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def test_the_gradient_is_that_of_a_step_of_softmax_regression_by_finite_differences():
    rng, classes = np.random.default_rng(0), 3
    own, swapped, held = rng.normal(size=(9, 4)), rng.normal(size=(9, 4)), rng.normal(size=(7, 4))
    label, held_label = np.arange(9) % classes, np.arange(7) % classes
    start = rng.normal(size=(classes, 5))

    def gradients(features, labels, weight):
        padded = np.pad(features, ((0, 0), (0, 1)), constant_values=1)
        return (softmax(padded @ weight.T) - np.eye(classes)[labels])[:, :, None] * padded[:, None]

    def validation(p, rate=1e-6):
        mixed = (1 - p[label])[:, None, None] * gradients(own, label, start)
        mixed += p[label][:, None, None] * gradients(swapped, label, start)
        weight = start - rate * mixed.mean(axis=0)
        padded = np.pad(held, ((0, 0), (0, 1)), constant_values=1)
        return -np.log(softmax(padded @ weight.T)[np.arange(7), held_label]).mean() / rate

    p = np.full(classes, 0.4)
    expected = [(validation(p + 0.5 * unit) - validation(p - 0.5 * unit)) for unit in np.eye(classes)]

    def factors(features, labels):
        features = torch.from_numpy(features).float()
        logits = features @ torch.from_numpy(start[:, :-1].T).float() + torch.from_numpy(start[:, -1]).float()
        return last_layer(Output(features, logits), torch.from_numpy(labels))

    residual, features = factors(held, held_label)
    ahead = residual.T @ features / 7
    parts = factors(own, label), factors(swapped, label)
    before, after = (((residual @ ahead) * features).sum(dim=1) for residual, features in parts)
    found = chance_gradient(after - before, torch.from_numpy(label), classes)
    assert found.tolist() == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_steps_keep_the_proportions_of_classes_and_of_steps():
    """The root mean square of (4, -3, 0, 0) is 2.5; with (0, 0, 0, 1) after it, the mean of 6.25 and 0.25 is 3.25."""
    own = Chances(("a", "b", "c", "d"), start=0.5)
    descend(own, torch.tensor([4.0, -3.0, 0.0, 0.0]), rate=0.1)
    assert own.logit.tolist() == pytest.approx([-0.16, 0.12, 0.0, 0.0])
    descend(own, torch.tensor([0.0, 0.0, 0.0, 1.0]), rate=0.1)
    assert own.logit.tolist() == pytest.approx([-0.16, 0.12, 0.0, -0.1 / 3.25**0.5])


def learner_with(method, dataset, model=None):
    torch.manual_seed(0)
    return build_learner(method, dataset.task, model or CompactCnn().build(dataset.task))


class Looks(nn.Module):
    """Predicts the class whose colour fills the picture's corner, for classes below `known`; else class 9."""

    def __init__(self, dataset, known):
        super().__init__()
        self.color, self.known = dataset.train.backgrounds.image[:10, :, 0, 0], known

    def forward(self, image):
        found = torch.cdist(image[:, :, 0, 0], self.color).argmin(dim=1)
        return nn.functional.one_hot(torch.where(found < self.known, found, 9), 10).float()


def test_the_heuristic_is_the_accuracy_on_backgrounds_alone(load):
    dataset = load("colored-digits", palette="separated")
    method = LearnedReplacement(rule="heuristic", highest=0.8)
    learner = learner_with(method, dataset, Classifier(Looks(dataset, known=4), nn.Linear(10, 10)))
    learner.classifier.head = nn.Identity()
    method.enter(0, learner, dataset, stream(0, "enter"))
    assert learner.own.p.tolist() == pytest.approx([0.8] * 4 + [0] * 5 + [0.8])


def test_cuda_climbs_for_classes_that_are_right_at_every_strength(load):
    dataset = load("colored-digits", palette="separated")
    method = LearnedReplacement(rule="cuda", levels=10)
    learner = learner_with(method, dataset, Classifier(Looks(dataset, known=4), nn.Linear(10, 10)))
    learner.classifier.head = nn.Identity()
    levels = []
    for epoch in range(8):
        method.enter(epoch, learner, dataset, stream(0, "enter", epoch))
        levels.append(learner.own.level.tolist())
    assert levels[0] == [1] * 4 + [0] * 5 + [1]
    assert all(level[4:9] == [0] * 5 for level in levels)
    assert min(levels[-1][:4]) >= 3
    assert max(levels[-1][:4]) <= 6
    torch.testing.assert_close(learner.own.p, learner.own.level / 10)


def test_bilevel_raises_p_where_the_background_decides(load):
    dataset = load("colored-digits").head(400)
    method = LearnedReplacement(rule="bilevel", start=0.5, rate=0.1)
    learner = learner_with(method, dataset)
    optimizer = torch.optim.Adam(learner.classifier.parameters(), 3e-3)
    for step in range(40):
        batch = dataset.train.batch(torch.arange(400)[step * 10 % 400 :][:64])
        loss = method.loss(learner, batch, stream(0, "loss"))["cross_entropy"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for step in range(20):
        examples = dataset.training_examples(torch.arange(64) + 10 * step, stream(0, "examples", step))
        method.assign(learner, examples, stream(0, "assign", step))
    assert learner.own.p.mean() > 0.6


def test_each_class_is_replaced_with_its_own_chance(load):
    dataset = load("colored-digits")
    method = LearnedReplacement(rule="rising")
    learner = learner_with(method, dataset)
    learner.own.p.copy_(torch.linspace(0, 1, 10))
    examples = dataset.training_examples(torch.arange(1000).repeat(10), stream(0, "examples"))
    chosen = method.assign(learner, examples, stream(0, "assign"))
    moved = (chosen != examples.background).float()
    shares = [moved[examples.label == number].mean().item() for number in range(10)]
    assert shares == pytest.approx((0.9 * torch.linspace(0, 1, 10)).tolist(), abs=0.05)
