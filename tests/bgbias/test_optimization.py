"""The faster ways to compute give what a plain loop gives."""

import copy
from statistics import mean, stdev

import pytest
import torch
import torch.nn.functional as F
from made_learners import learner_of, task_of
from torch import nn

from bgbias.config import RunConfig
from bgbias.evaluation.accuracy import accuracy, predict
from bgbias.methods.erm import Erm
from bgbias.models.compact_cnn import CompactCnn
from bgbias.optimization import Training
from bgbias.training import Trainer

CPU = torch.device("cpu")
PLAIN = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def learner(seed=0):
    torch.manual_seed(seed)
    built = CompactCnn().build(task_of())
    return learner_of(nn.Sequential(built.body, built.head))


@pytest.mark.parametrize(
    ("channels_last", "of_weight", "of_image"),
    [(True, (27, 1, 9, 3), (2352, 1, 84, 3)), (False, (27, 9, 3, 1), (2352, 784, 28, 1))],
)
def test_pictures_and_weights_lie_pixel_by_pixel_unless_asked_otherwise(channels_last, of_weight, of_image):
    placed = Training(channels_last=channels_last).place(learner(), CPU)
    first = placed.get_submodule("classifier.body")[0][0]
    assert first.weight.stride() == of_weight
    seen = []
    first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].stride()))
    for given in (torch.contiguous_format, torch.channels_last):
        placed(torch.rand(2, 3, 28, 28).contiguous(memory_format=given))
    assert seen == [of_image, of_image]


def test_gradients_are_those_of_a_plain_network():
    image = torch.rand(8, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    label = torch.arange(8)
    ours, plain = Training().place(learner(), CPU), learner()
    for network in (ours, plain):
        F.cross_entropy(network(image), label).backward()
    for (name, one), other in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_updates_are_those_of_the_plain_optimiser(name):
    training = Training(optimizer=name, learning_rate=0.02, weight_decay=0.1)
    ours = training.place(learner(), CPU)
    plain = copy.deepcopy(ours)
    optimizer = training.make_optimizer(ours)
    assert all(group["fused"] for group in optimizer.param_groups)
    extra = {"momentum": 0.9} if name == "sgd" else {}
    other = PLAIN[name](plain.parameters(), lr=0.02, weight_decay=0.1, fused=False, foreach=False, **extra)
    rng = torch.Generator().manual_seed(1)
    for _ in range(4):
        for one, copied in zip(ours.parameters(), plain.parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=rng).contiguous(
                memory_format=torch.channels_last if one.ndim == 4 else torch.contiguous_format
            )
            copied.grad = one.grad.clone()
        optimizer.step()
        other.step()
    for one, copied in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, copied, rtol=1e-5, atol=1e-6)


class Slow(Training):
    """The layout and the optimiser as they were by default before."""

    def make_optimizer(self, learner):
        return torch.optim.Adam(learner.parameters(), lr=self.learning_rate, fused=False, foreach=False)


@pytest.mark.slow
def test_accuracies_agree_with_those_of_plain_training_within_the_noise_of_seeds(load):
    digits = load("colored-digits").head(400)
    config = RunConfig.from_flat({"dataset/name": "colored-digits", "method/name": "erm"})
    shared = {"epochs": 6, "learning_rate": 3e-3}
    found = {}
    for name, training in (("plain", Slow(channels_last=False, **shared)), ("fast", Training(**shared))):
        found[name] = []
        for seed in range(5):
            run = Trainer(Erm(), config.model, digits, training, seed, CPU)
            for _ in range(training.epochs):
                run.train_epoch()
            found[name].append(accuracy(predict(Erm(), run.learner, digits.test["removed"])))
    noise = (stdev(found["plain"]) ** 2 / 5 + stdev(found["fast"]) ** 2 / 5) ** 0.5
    assert abs(mean(found["fast"]) - mean(found["plain"])) <= 2 * noise
    assert min(map(mean, found.values())) > 0.2
