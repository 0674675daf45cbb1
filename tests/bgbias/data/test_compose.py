import pytest
import torch

from bgbias.data.compose import compose, unit

CROSS = torch.tensor([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=torch.bool)[None, None]
COUNT = torch.arange(1.0, 10).reshape(1, 1, 3, 3)


def test_compose_keeps_the_foreground_and_fills_the_rest():
    composed = compose(CROSS, COUNT, -COUNT)
    assert composed[0, 0].tolist() == [[-1, 2, -3], [4, 5, 6], [-7, 8, -9]]


def test_compose_spreads_one_color_and_one_grey_channel():
    color = torch.tensor([10.0, 20, 30]).reshape(1, 3, 1, 1)
    composed = compose(CROSS, COUNT, color)
    assert composed.shape == (1, 3, 3, 3)
    for channel, value in enumerate((10, 20, 30)):
        assert composed[0, channel].tolist() == [[value, 2, value], [4, 5, 6], [value, 8, value]]


def test_compose_gives_each_example_its_own_background():
    mask, foreground = CROSS.expand(2, 1, 3, 3), COUNT.expand(2, 1, 3, 3)
    composed = compose(mask, foreground, torch.tensor([0.0, 50]).reshape(2, 1, 1, 1))
    assert composed[:, 0, 0, 0].tolist() == [0, 50]
    assert composed[:, 0, 1, 1].tolist() == [5, 5]


def test_compose_of_floats_and_of_bytes_takes_every_value_as_it_is():
    draw = torch.Generator().manual_seed(0)
    mask = torch.rand(5, 1, 7, 7, generator=draw) < 0.5
    foreground = 1e3 * torch.randn(5, 1, 7, 7, generator=draw)
    background = 1e-3 * torch.randn(5, 3, 7, 7, generator=draw)
    assert torch.equal(compose(mask, foreground, background), torch.where(mask, foreground, background))
    small, large = foreground.to(torch.uint8), (1e5 * background).to(torch.uint8)
    assert torch.equal(compose(mask, small, large), torch.where(mask, small, large))


def test_unit_scales_bytes_to_the_unit_interval():
    image = torch.tensor([0, 51, 255], dtype=torch.uint8)
    torch.testing.assert_close(unit(image), torch.tensor([0, 0.2, 1]))
    assert image.tolist() == [0, 51, 255]


def test_unit_leaves_floats_as_they_are():
    image = torch.tensor([0.0, 12.0])
    assert unit(image).tolist() == [0, 12]


@pytest.mark.parametrize(("count", "side"), [(0, (4, 4)), (1, (1, 1)), (5, (7, 3))])
def test_grey_objects_on_one_colour_each_are_those_of_where_and_lie_pixel_by_pixel(count, side):
    draw = torch.Generator().manual_seed(0)
    mask = torch.rand(count, 1, *side, generator=draw) < 0.5
    foreground = 1e3 * torch.randn(count, 1, *side, generator=draw)
    colour = 1e-3 * torch.randn(count, 3, 1, 1, generator=draw)
    composed = compose(mask, foreground, colour)
    assert torch.equal(composed, torch.where(mask, foreground, colour))
    assert composed.is_contiguous(memory_format=torch.channels_last)
    turned = compose(mask.transpose(2, 3), foreground.transpose(2, 3), colour)
    assert torch.equal(turned, composed.transpose(2, 3))


def test_a_colour_can_be_differentiated():
    colour = torch.zeros(1, 3, 1, 1, requires_grad=True)
    compose(CROSS, COUNT, colour).sum().backward()
    assert colour.grad.flatten().tolist() == [4, 4, 4]
