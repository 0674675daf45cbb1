from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from bgbias.models.kernels import convolution
from bgbias.models.twice import differentiate_twice

# channels, outputs, kernel, padding, picture
SHAPES = [
    (3, 12, (3, 3), (0, 0), (28, 28)),
    (1, 10, (5, 5), (0, 0), (28, 28)),
    (2, 4, (3, 3), (1, 1), (6, 9)),
    (3, 2, (1, 1), (0, 0), (3, 5)),
    (1, 1, (1, 1), (0, 0), (1, 1)),
    (3, 5, (2, 7), (1, 3), (9, 4)),
    (2, 3, (4, 3), (3, 2), (4, 4)),
    (3, 3, (5, 4), (0, 0), (5, 4)),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def penalty(network: nn.Module, image: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(network(image).tanh().exp().sum(), image, create_graph=True)
    return gradient.sin().sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("channels", "outputs", "kernel", "padding", "side"), SHAPES)
def test_the_gradient_for_pictures_is_that_of_pytorch(channels, outputs, kernel, padding, side, dtype, monkeypatch):
    torch.manual_seed(0)
    ordinary = nn.Conv2d(channels, outputs, kernel, padding=padding).to(dtype, memory_format=torch.channels_last)
    prepared = nn.Sequential(nn.Conv2d(channels, outputs, kernel, padding=padding)).to(dtype)
    prepared.to(memory_format=torch.channels_last)[0].load_state_dict(ordinary.state_dict())
    differentiate_twice(prepared)
    image = torch.randn(4, channels, *side, dtype=dtype).contiguous(memory_format=torch.channels_last)
    image.requires_grad_()
    calls: list[int] = []
    kernel_of = convolution.gradient_of_pictures
    monkeypatch.setattr(convolution, "gradient_of_pictures", lambda *arrays: (calls.append(1), kernel_of(*arrays))[1])
    found = [
        (*torch.autograd.grad(network(image).sin().sum(), image), *torch.autograd.grad(penalty(network, image), weight))
        for network, weight in ((ordinary, ordinary.weight), (prepared, prepared[0].weight))
    ]
    assert len(calls) == 2
    for its, mine in zip(*found, strict=True):
        assert (mine - its).norm() <= 1e3 * torch.finfo(dtype).eps * its.norm()


def test_a_convolution_of_two_pixels_by_hand():
    """One picture of 1 x 3 pixels, the weights 2 and 5: a pixel's gradient is what it adds to each output."""
    gradient = torch.tensor([1.0, 10.0]).view(1, 1, 2, 1).numpy()
    weight = torch.tensor([2.0, 5.0]).view(1, 1, 1, 2).numpy()
    image = torch.full((1, 1, 1, 3), torch.nan)
    convolution.gradient_of_pictures(gradient, weight, image.numpy())
    assert image.flatten().tolist() == [2, 5 + 20, 50]


def refuse(*arrays: object) -> None:
    raise AssertionError(arrays)


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(4, 3, 3), nn.Conv2d(3, 3, 3, stride=2), nn.Conv2d(3, 3, 3, dilation=2), nn.Conv2d(3, 3, 3, groups=3)],
    ids=["four channels", "stride", "dilation", "groups"],
)
def test_other_convolutions_are_pytorchs(layer, monkeypatch):
    monkeypatch.setattr(convolution, "gradient_of_pictures", refuse)
    network = nn.Sequential(layer).to(memory_format=torch.channels_last)
    differentiate_twice(network)
    image = torch.randn(2, layer.in_channels, 7, 7).contiguous(memory_format=torch.channels_last).requires_grad_()
    assert penalty(network, image).isfinite()


def test_several_threads_use_pytorchs(monkeypatch):
    monkeypatch.setattr(convolution, "gradient_of_pictures", refuse)
    torch.set_num_threads(2)
    network = nn.Sequential(nn.Conv2d(3, 3, 3)).to(memory_format=torch.channels_last)
    differentiate_twice(network)
    image = torch.randn(2, 3, 7, 7).contiguous(memory_format=torch.channels_last).requires_grad_()
    assert penalty(network, image).isfinite()
