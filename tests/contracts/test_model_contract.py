import re

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from bgbias.models import models

every_model = pytest.mark.parametrize("model", models.values(), ids=models)


@every_model
@pytest.mark.parametrize("channels", [1, 3])
def test_images_become_logits(model, channels):
    module = model().build((channels, 28, 28), 7)
    logits = module(torch.rand(5, channels, 28, 28))
    assert logits.shape == (5, 7)
    assert logits.isfinite().all()


@every_model
def test_other_sizes_and_batches_of_one_fit(model):
    assert model().build((3, 32, 40), 2)(torch.rand(1, 3, 32, 40)).shape == (1, 2)


@every_model
def test_gradients_reach_every_parameter(model):
    torch.manual_seed(0)
    module = model().build((3, 28, 28), 10)
    F.cross_entropy(module(torch.rand(16, 3, 28, 28)), torch.arange(16) % 10).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad.any(), name


@every_model
def test_each_example_is_answered_on_its_own(model):
    torch.manual_seed(0)
    module, image = model().build((1, 28, 28), 10).eval(), torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(module(image)[2:3], module(image[2:3]))


@every_model
def test_its_documented_cost_is_its_cost(model):
    stated = re.search(r"On (\d+) x (\d+) RGB ([\d.]+) million multiply-adds", " ".join(model.__doc__.split()))
    assert stated, "say `On H x W RGB N million multiply-adds` in the docstring"
    height, width, millions = int(stated[1]), int(stated[2]), float(stated[3])
    with FlopCounterMode(display=False) as counter:
        model().build((3, height, width), 10)(torch.rand(1, 3, height, width))
    assert counter.get_total_flops() / 2 / 1e6 == pytest.approx(millions, rel=0.02)
