import re

import pytest
import torch
import torch.nn.functional as F
from made_learners import task_of
from torch.utils.flop_counter import FlopCounterMode

from bgbias.models import models

every_model = pytest.mark.parametrize("model", models.values(), ids=models)


@every_model
@pytest.mark.parametrize("channels", [1, 3])
def test_images_become_logits(model, channels):
    module = model().build(task_of((channels, 28, 28), 7))
    logits = module(torch.rand(5, channels, 28, 28))
    assert logits.shape == (5, 7)
    assert logits.isfinite().all()


@every_model
def test_other_sizes_and_batches_of_one_fit(model):
    assert model().build(task_of((3, 32, 40), 2))(torch.rand(1, 3, 32, 40)).shape == (1, 2)


@every_model
def test_gradients_reach_every_parameter(model):
    torch.manual_seed(0)
    module = model().build(task_of())
    F.cross_entropy(module(torch.rand(16, 3, 28, 28)), torch.arange(16) % 10).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad.any(), name


@every_model
def test_each_example_is_answered_on_its_own(model):
    torch.manual_seed(0)
    module, image = model().build(task_of((1, 28, 28))).eval(), torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(module(image)[2:3], module(image[2:3]))


@every_model
def test_its_documented_cost_is_its_cost(model):
    stated = re.search(r"On (\d+) x (\d+) RGB ([\d.]+) million multiply-adds", " ".join(model.__doc__.split()))
    assert stated, "say `On H x W RGB N million multiply-adds` in the docstring"
    height, width, millions = int(stated[1]), int(stated[2]), float(stated[3])
    with FlopCounterMode(display=False) as counter:
        model().build(task_of((3, height, width)))(torch.rand(1, 3, height, width))
    assert counter.get_total_flops() / 2 / 1e6 == pytest.approx(millions, rel=0.02)


@every_model
def test_the_head_turns_the_bodys_features_into_the_logits(model):
    torch.manual_seed(0)
    module, image = model().build(task_of()).eval(), torch.rand(4, 3, 28, 28)
    features = module.features(image)
    assert features.shape == (4, module.linear.in_features)
    assert torch.equal(module.head(features), module(image))
    assert torch.equal(module(features), module(image))
