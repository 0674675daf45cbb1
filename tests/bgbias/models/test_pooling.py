import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from bgbias.models import pooling
from bgbias.models.pooling import HalvingMaxPool

SIDES = [(2, 2), (5, 8), (26, 26), (11, 7)]


def pictures(side: tuple[int, int], layout: torch.memory_format = torch.channels_last, channels: int = 5) -> Tensor:
    """Of few different numbers, so that windows have equal ones."""
    drawn = torch.randint(-2, 3, (3, channels, *side), generator=torch.Generator().manual_seed(0)).float()
    return drawn.contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("side", SIDES)
def test_it_pools_alike_with_gradients_and_without(side, layout):
    image, pool = pictures(side, layout), HalvingMaxPool()
    expected = max_pool2d(image, 2)
    assert torch.equal(pool(image), expected)
    with torch.no_grad():
        assert torch.equal(pool(image), expected)


@pytest.mark.parametrize("channels", [1, 3, 12, 33])
@pytest.mark.parametrize("side", SIDES)
def test_gradients_are_those_of_pytorch_to_the_bit(side, channels):
    image = pictures(side, channels=channels).requires_grad_()
    mine, its = HalvingMaxPool()(image), max_pool2d(image, 2)
    gradient = torch.randn(mine.shape, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.autograd.grad(mine, image, gradient)[0], torch.autograd.grad(its, image, gradient)[0])


def test_of_equal_numbers_the_first_is_taken_and_a_nan_is_the_largest():
    nan, inf = float("nan"), float("inf")
    windows = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 0], [2, nan, 3, nan], [inf, 0, nan, inf], [-inf, -inf, -inf, -inf]])
    image = windows.view(5, 1, 2, 2).requires_grad_()
    mine = HalvingMaxPool()(image)
    with torch.no_grad():
        alone = HalvingMaxPool()(image)
    for found in (mine, alone):
        assert torch.equal(found.flatten().nan_to_num(nan=7, neginf=-9), torch.tensor([1.0, 1, 7, 7, -9]))
    mine.sum().backward()
    chosen = image.grad.view(5, 4).argmax(dim=1)
    max_pool2d(again := windows.view(5, 1, 2, 2).requires_grad_(), 2).sum().backward()
    assert torch.equal(chosen, again.grad.view(5, 4).argmax(dim=1))
    assert torch.equal(image.grad, again.grad)
    assert chosen[:2].tolist() == [0, 1]


def test_it_can_be_differentiated_three_times():
    image = torch.randn(2, 3, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    image = image.contiguous(memory_format=torch.channels_last).requires_grad_()

    def third(pool: nn.Module) -> Tensor:
        value = pool(image.tanh()).exp().sum()
        for _ in range(3):
            (gradient,) = torch.autograd.grad(value, image, create_graph=True)
            value = gradient.sin().sum()
        return gradient

    torch.testing.assert_close(third(HalvingMaxPool()), third(nn.MaxPool2d(2)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_machine_code_pools_what_it_can(dtype, monkeypatch):
    used: list[torch.dtype] = []
    apply = pooling._Largest.apply
    monkeypatch.setattr(pooling._Largest, "apply", lambda image: (used.append(image.dtype), apply(image))[1])
    image = pictures((6, 6)).to(dtype)
    assert torch.equal(HalvingMaxPool()(image), max_pool2d(image, 2))
    assert torch.equal(HalvingMaxPool()(image.contiguous()), max_pool2d(image, 2))
    assert used == [dtype] * (dtype != torch.bfloat16)


@pytest.mark.parametrize("shape", [(2, 3, 1, 4), (3, 4, 4)])
def test_other_shapes_are_pytorchs(shape):
    if len(shape) == 4:
        with pytest.raises(RuntimeError, match="too small"):
            HalvingMaxPool()(torch.zeros(shape).contiguous(memory_format=torch.channels_last))
    else:
        assert HalvingMaxPool()(torch.zeros(shape)).shape == (3, 2, 2)


def test_it_can_be_compiled():
    pool = HalvingMaxPool()
    compiled = torch.compile(pool, backend="eager", fullgraph=True)
    assert torch.equal(compiled(pictures((6, 6))), pool(pictures((6, 6))))
