"""Passes are counted example by example, whatever a method does with the network."""

import pytest
import torch

from bgbias.data.datasets import datasets
from bgbias.methods import methods
from bgbias.models.compact_cnn import CompactCnn
from bgbias.models.passes import Passes
from bgbias.optimization import Training
from bgbias.training import Trainer

N = 130


@pytest.fixture(scope="module")
def few():
    return datasets["colored-digits"]().load(None).head(N)


@pytest.mark.parametrize(
    ("method", "fields", "forward", "backward"),
    [
        ("erm", {}, 1, 1),
        ("dynamic_replacement", {}, 1, 1),
        ("gradient_penalty", {"form": "log_probability"}, 1, 3),
        ("gradient_penalty", {"form": "aggregated"}, 1, 3),
        ("counterfactual", {}, 2, 2),
        ("worst_of_k", {"k": 3, "mix": 1.0}, 4, 1),
    ],
)
def test_an_epoch_counts_what_its_method_puts_through_the_body(few, method, fields, forward, backward):
    settings = Training(epochs=2, batch_size=50)
    run = Trainer(methods[method](**fields), CompactCnn(), few, settings, 0, torch.device("cpu"))
    for _ in range(2):  # each epoch by itself, so that a resumed run counts as one that never stopped
        found = run.train_epoch()
        assert found["train/forward_passes"] == forward * N
        assert found["train/backward_passes"] == backward * N
        run.method.predict(run.learner, few.test["original"].batch(torch.arange(5)).image)


def test_features_do_not_go_through_the_body(few):
    settings = Training(epochs=1, body_rate=0.0)
    run = Trainer(methods["erm"](), CompactCnn(), few, settings, 0, torch.device("cpu"))
    found = run.train_epoch()
    assert (found["train/forward_passes"], found["train/backward_passes"]) == (0, 0)


def test_counting_changes_no_gradient():
    weight = torch.tensor([2.0, 3.0], requires_grad=True)
    passes, found = Passes(), []
    for counted in (False, True):
        output = (weight * torch.tensor([[1.0, -2.0]] * 4)).tanh()
        if counted:
            passes.through(output)
        (first,) = torch.autograd.grad(output.square().sum(), weight, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum() + output.sum(), weight)[0])
    torch.testing.assert_close(*found, rtol=0, atol=0)
    assert (passes.forward, passes.backward) == (4, 12)
