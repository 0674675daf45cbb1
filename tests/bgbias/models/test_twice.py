import copy

import pytest
import torch
from torch import Tensor, nn

from bgbias.models.pooling import HalvingMaxPool
from bgbias.models.twice import TwiceConv2d, TwiceMaxPool2d, differentiate_twice

LAYERS = {
    "plain": nn.Conv2d(3, 4, 3),
    "no bias": nn.Conv2d(3, 4, 3, bias=False),
    "stride and padding": nn.Conv2d(3, 4, 3, stride=2, padding=1),
    "uneven": nn.Conv2d(3, 4, (1, 3), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
    "depthwise": nn.Conv2d(3, 6, 3, groups=3),
    "padding by name": nn.Conv2d(3, 4, 3, padding="same"),
    "reflected border": nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    "pooling": nn.MaxPool2d(2),
    "windows that overlap": nn.MaxPool2d(3, stride=2, padding=1),
    "uneven windows": nn.MaxPool2d((2, 3), ceil_mode=True),
    "halving": HalvingMaxPool(),
}


@pytest.fixture(params=[torch.contiguous_format, torch.channels_last])
def layout(request: pytest.FixtureRequest) -> torch.memory_format:
    layout: torch.memory_format = request.param
    return layout


@pytest.fixture(params=LAYERS)
def networks(request: pytest.FixtureRequest, layout: torch.memory_format) -> tuple[nn.Module, nn.Module]:
    """A small network with the layer in its middle as PyTorch differentiates it, and as `differentiate_twice` does."""
    torch.manual_seed(0)
    layer = copy.deepcopy(LAYERS[request.param])
    network = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Tanh(), layer, nn.Tanh(), nn.Flatten(), nn.LazyLinear(3)).double()
    network(torch.zeros(1, 2, 9, 8, dtype=torch.float64))
    network.to(memory_format=layout)
    prepared = copy.deepcopy(network)
    differentiate_twice(prepared)
    return network, prepared


def pictures() -> Tensor:
    return torch.randn(5, 2, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()


def penalised(network: nn.Module, image: Tensor) -> Tensor:
    answer = network(image).log_softmax(dim=1)
    (gradient,) = torch.autograd.grad(answer[:, 0].sum(), image, create_graph=True)
    return answer[:, 1].sum() + gradient.sin().sum()


def test_gradients_of_a_loss_with_an_input_gradient_are_those_of_pytorch(networks):
    found = [
        torch.autograd.grad(penalised(network, image), [*network.parameters(), image])
        for network, image in ((network, pictures()) for network in networks)
    ]
    for its, mine in zip(*found, strict=True):
        torch.testing.assert_close(mine, its)


def test_gradients_of_parameters_alone_are_those_of_pytorch(networks):
    for network in networks:
        penalised(network, pictures()).backward(inputs=list(network.parameters()))
    for its, mine in zip(*(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(mine.grad, its.grad)


def test_outputs_and_names_are_those_of_before(networks):
    network, prepared = networks
    assert torch.equal(network(pictures()), prepared(pictures()))
    assert torch.equal(network(pictures().detach()), prepared(pictures().detach()))
    assert list(network.state_dict()) == list(prepared.state_dict())


def test_layers_of_other_types_stay_as_they_are():
    class Own(nn.Conv2d):
        pass

    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.MaxPool2d(2), HalvingMaxPool(), Own(1, 1, 1), nn.Tanh())
    differentiate_twice(network)
    assert [type(layer) for layer in network] == [TwiceConv2d, TwiceMaxPool2d, HalvingMaxPool, Own, nn.Tanh]


def test_channels_last_and_bfloat16():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3))
    prepared = copy.deepcopy(network).to(memory_format=torch.channels_last)
    differentiate_twice(prepared)
    for one in (network, prepared):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = penalised(one, pictures().float().detach().requires_grad_())
        loss.backward(inputs=list(one.parameters()))
    for its, mine in zip(network.parameters(), prepared.parameters(), strict=True):
        assert (mine.grad - its.grad).norm() < 0.05 * its.grad.norm()


def test_a_second_derivative_with_respect_to_parameters_is_refused():
    layer = nn.Sequential(nn.Conv2d(1, 1, 2))
    differentiate_twice(layer)
    value = layer(torch.ones(1, 1, 3, 3, requires_grad=True)).square().sum()
    (gradient,) = torch.autograd.grad(value, layer[0].weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
