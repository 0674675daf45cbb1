"""Convolutions whose input gradient is differentiated: PyTorch's own are the reference."""

from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bgbias.models.convolution import Geometry, TwiceDifferentiable

CASES = [
    {},
    {"stride": 2, "padding": 1},
    {"padding": (1, 0), "dilation": (1, 2)},
    {"groups": 2, "padding": 1, "bias": False},
    {"padding": "same"},
]


def penalised(options, fast):
    """Loss, penalty and every gradient of a small network's loss with the norm of its input gradient."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, **options), nn.MaxPool2d(2), nn.Tanh(), nn.Conv2d(4, 3, 2), nn.Flatten(), nn.LazyLinear(3)
    ).double()
    image = torch.rand(5, 2, 10, 9, dtype=torch.double)
    label = torch.tensor([0, 1, 2, 0, 1])
    network(image)
    image.requires_grad_(True)
    with TwiceDifferentiable() if fast else torch.enable_grad():
        loss = F.cross_entropy(network(image), label)
    (gradient,) = torch.autograd.grad(loss, image, create_graph=True)
    penalty = gradient.square().sum()
    (loss + penalty).backward()
    return [loss, penalty, image.grad, *(weight.grad for weight in network.parameters())]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_loss_penalty_and_all_gradients_are_pytorchs(options):
    for found, expected in zip(penalised(options, fast=True), penalised(options, fast=False), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", CASES[:-1], ids=str)
def test_first_and_second_derivatives_are_those_of_finite_differences(options):
    torch.manual_seed(0)
    groups, bias = options.get("groups", 1), options.get("bias", True)
    image = torch.rand(2, 2, 5, 4, dtype=torch.double, requires_grad=True)
    weight = torch.rand(2, 2 // groups, 2, 2, dtype=torch.double, requires_grad=True)
    shift = torch.rand(2, dtype=torch.double, requires_grad=True) if bias else None
    where = {name: value for name, value in options.items() if name != "bias"}

    def convolve(image, weight, shift=None):
        with TwiceDifferentiable():
            return F.conv2d(image, weight, shift, **where)

    given = (image, weight) if shift is None else (image, weight, shift)
    assert torch.autograd.gradcheck(convolve, given)
    assert torch.autograd.gradgradcheck(convolve, given)


def test_an_input_gradient_computes_no_weight_gradient():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    image = torch.rand(2, 3, 8, 8, requires_grad=True)
    with TwiceDifferentiable():
        score = network(image).sum()
    with patch.object(Geometry, "gradients", autospec=True, side_effect=Geometry.gradients) as gradients:
        torch.autograd.grad(score, image, retain_graph=True)
        assert [call.kwargs for call in gradients.call_args_list] == [{"of_image": True, "of_weight": False}] * 2
        gradients.reset_mock()
        score.backward()
        assert [call.kwargs for call in gradients.call_args_list] == [{"of_image": True, "of_weight": True}] * 2


def test_one_picture_without_a_batch_and_mixed_precision_are_pytorchs_own():
    layer = nn.Conv2d(3, 4, 3)
    image = torch.rand(3, 8, 8, requires_grad=True)
    with TwiceDifferentiable():
        assert layer(image).grad_fn.name() != "ConvolutionBackward"
        assert layer(image[None]).grad_fn.name() == "ConvolutionBackward"
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(image[None]).dtype == torch.bfloat16
