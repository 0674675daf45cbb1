"""The penalty against hand-worked sums, plain numpy and finite differences, in float64."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from made_learners import batch_of, learner_of
from torch import nn

from bgbias.methods.gradient_penalty import (
    GradientPenalty,
    aggregated_energy,
    background_energy,
    background_norm,
    background_slope,
    dim_backgrounds,
    lead,
    on_background,
    plain_norm,
)
from bgbias.randomness import stream

CASES = {
    "plain": {"form": "plain"},
    "reproduced": {"form": "reproduced"},
    "rrr": {"form": "rrr"},
    "gradmask": {"form": "gradmask"},
    "log_probability": {"form": "log_probability"},
    "aggregated": {"form": "aggregated"},
    "aggregated over windows of 1": {"form": "aggregated", "smoothing": 0},
    "aggregated over windows of 3": {"form": "aggregated", "smoothing": 1},
}
every_case = pytest.mark.parametrize("case", CASES)

RING = torch.tensor([[0, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=torch.bool)[None, None]
"""The object is the centre."""
COUNT = torch.arange(1.0, 10).reshape(1, 1, 3, 3)
"""1 to 9; on the background, 8 pixels, their squares sum to 260 and they themselves to 40."""
SHOWN = COUNT.masked_fill(RING, 0)
"""The same, 0 on the object."""


def test_the_foreground_is_left_out():
    assert torch.equal(on_background(COUNT, RING), SHOWN)


def test_background_norm_by_hand():
    assert background_norm(SHOWN).item() == pytest.approx(260**0.5)


def test_background_norm_is_taken_over_the_batch_at_once():
    assert background_norm(torch.cat([SHOWN, 3 * SHOWN])).item() == pytest.approx((260 + 9 * 260) ** 0.5 / 2)


def test_plain_norm_by_hand():
    gradient, mask = torch.cat([SHOWN, 3 * SHOWN]), RING.expand(2, 1, 3, 3)
    assert plain_norm(gradient, mask).item() == pytest.approx(((8 * 260 + 8 * 9 * 260) / 2) ** 0.5)
    assert plain_norm(gradient, mask).item() == pytest.approx((8 * 2) ** 0.5 * background_norm(gradient).item())


def test_background_slope_by_hand():
    assert background_slope(torch.cat([SHOWN, -SHOWN], dim=1)).item() == 80


def test_background_energy_by_hand():
    gradient = torch.cat([SHOWN, -2 * SHOWN], dim=1)
    assert background_energy(gradient, RING).item() == 8 * (260 + 4 * 260)


def test_background_energy_keeps_examples_apart():
    gradient, mask = torch.cat([SHOWN, 2 * SHOWN]), torch.cat([RING, RING])
    assert background_energy(gradient, mask).tolist() == [8 * 260, 8 * 4 * 260]


def test_aggregated_energy_sums_before_it_squares():
    assert aggregated_energy(SHOWN, RING, None).item() == 40**2


def test_aggregated_energy_keeps_channels_apart():
    gradient = torch.cat([SHOWN, -SHOWN], dim=1)
    assert aggregated_energy(gradient, RING, None).item() == 2 * 40**2


def test_aggregated_energy_keeps_examples_apart():
    gradient, mask = torch.cat([SHOWN, 0 * SHOWN]), torch.cat([RING, torch.ones_like(RING)])
    assert aggregated_energy(gradient, mask, None).tolist() == [40**2, 0]


def test_aggregated_energy_over_windows_by_hand():
    windows = [7 / 3, 16 / 5, 11 / 3, 22 / 5, 28 / 5, 19 / 3, 34 / 5, 23 / 3]
    expected = sum((8 * window) ** 2 for window in windows) / 8
    assert aggregated_energy(SHOWN, RING, 1).item() == pytest.approx(expected)


def random_gradient(shape):
    return torch.randn(shape, generator=stream(0, "gradient"), dtype=torch.float64)


@pytest.mark.parametrize("radius", [4, 5, 9])
def test_a_radius_across_the_picture_sums_over_all_of_it(radius):
    mask = random_gradient((3, 1, 5, 4)) > 0.5
    gradient = on_background(random_gradient((3, 2, 5, 4)), mask)
    torch.testing.assert_close(aggregated_energy(gradient, mask, radius), aggregated_energy(gradient, mask, None))


def test_radius_zero_is_the_energy_of_each_pixel_alone():
    mask = random_gradient((3, 1, 5, 4)) > 0.5
    gradient = on_background(random_gradient((3, 2, 5, 4)), mask)
    torch.testing.assert_close(aggregated_energy(gradient, mask, 0), background_energy(gradient, mask))


def smooth_net(channels=2, side=3, classes=4):
    generator = stream(0, "net")
    net = nn.Sequential(nn.Flatten(), nn.Linear(channels * side**2, 5), nn.Tanh(), nn.Linear(5, classes)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.7)
    return net


def random_batch(size=3, channels=2, side=3, classes=4):
    generator = stream(0, "batch")
    image = torch.rand(size, channels, side, side, generator=generator, dtype=torch.float64)
    mask = torch.rand(size, 1, side, side, generator=generator) < 0.4
    return batch_of(image, mask, torch.randint(classes, (size,), generator=generator))


def penalty(case, net, batch, seed=0, **options):
    """The mean over the examples, as it is minimised."""
    return terms_of(case, net, batch, seed, **options)["background_gradient"].mean()


def terms_of(case, net, batch, seed=0, weight=1.0, **options):
    return GradientPenalty(weight=weight, **CASES[case], **options).loss(learner_of(net), batch, stream(seed, "v"))


def log_probabilities(net, image):
    """[B, K] in plain numpy."""
    weight, bias, last_weight, last_bias = (parameter.detach().numpy() for parameter in net.parameters())
    hidden = np.tanh(image.reshape(len(image), -1) @ weight.T + bias)
    logits = hidden @ last_weight.T + last_bias
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def central_differences(function, at, step=1e-5):
    found = np.zeros_like(at)
    for index in np.ndindex(*at.shape):
        moved = at.copy()
        moved[index] = at[index] + step
        above = function(moved)
        moved[index] = at[index] - step
        found[index] = (above - function(moved)) / (2 * step)
    return found


def reference_penalty(case, net, batch, direction):
    """The definition, pixel by pixel: each background pixel is moved and what happens is measured."""
    label, rows = batch.label.numpy(), np.arange(len(batch))

    def cross_entropy(image):
        return -log_probabilities(net, image)[rows, label].sum()

    def summed(image):
        return log_probabilities(net, image).sum()

    def ahead(image):
        found = log_probabilities(net, image)
        others = np.where(np.eye(found.shape[1], dtype=bool)[label], -np.inf, found)
        return (found[rows, label] - others.max(axis=1)).sum()

    def along_direction(image):
        return (direction * log_probabilities(net, image)).sum()

    form = CASES[case]["form"]
    functions = {"plain": cross_entropy, "reproduced": cross_entropy, "rrr": summed, "gradmask": ahead}
    gradient = central_differences(functions.get(form, along_direction), batch.image.numpy())
    gradient = np.where(batch.mask.numpy(), 0, gradient)
    background = ~batch.mask.numpy()[:, 0]
    n = background.sum(axis=(1, 2))
    squared = (gradient**2).sum(axis=(1, 2, 3))
    if form == "reproduced":
        return np.sqrt(squared.sum()) / len(batch)
    if form == "plain":
        return np.sqrt((n * squared).mean())
    if form == "gradmask":
        return np.abs(gradient).sum() / len(batch)
    if form in ("log_probability", "rrr"):
        return (n * squared).mean()
    radius = CASES[case].get("smoothing")
    if radius is None:
        return (gradient.sum(axis=(2, 3)) ** 2).sum() / len(batch)
    return windows_energy(gradient, background, radius)


def windows_energy(gradient, background, radius):
    n, total = background.sum(axis=(1, 2)), 0.0
    for example, row, column in np.argwhere(background):
        near = (slice(max(row - radius, 0), row + radius + 1), slice(max(column - radius, 0), column + radius + 1))
        density = gradient[(example, slice(None), *near)].sum(axis=(1, 2)) / background[(example, *near)].sum()
        total += n[example] * (density**2).sum()
    return total / len(gradient)


@every_case
def test_penalty_agrees_with_finite_differences_over_background_pixels(case):
    net, batch = smooth_net(), random_batch()
    direction = torch.randn(3, 4, generator=stream(0, "v")).numpy()
    expected = reference_penalty(case, net, batch, direction)
    assert expected > 1e-3
    assert penalty(case, net, batch).item() == pytest.approx(expected, rel=1e-6)


@every_case
def test_its_gradient_agrees_with_finite_differences_over_parameters(case):
    net, batch = smooth_net(), random_batch()
    names, parameters = zip(*net.named_parameters(), strict=True)
    gradients = torch.autograd.grad(penalty(case, net, batch), parameters, materialize_grads=True)
    for name, parameter, gradient in zip(names, parameters, gradients, strict=True):

        def moved(values, parameter=parameter):
            before = parameter.detach().clone()
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(values))
            value = penalty(case, net, batch).item()
            with torch.no_grad():
                parameter.copy_(before)
            return value

        expected = central_differences(moved, parameter.detach().numpy().copy())
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-5, atol=1e-8, err_msg=name)


def jacobian_on_background(net, batch):
    """[K, C, H, W] of the first example's log-probabilities."""

    def log_probability(image):
        return torch.log_softmax(net(image[None]), dim=1)[0]

    jacobian = torch.autograd.functional.jacobian(log_probability, batch.image[0])
    return jacobian.masked_fill(batch.mask[0], 0)


def test_over_random_directions_the_energy_is_the_squared_jacobian():
    net, one, copies = smooth_net(), random_batch(), 50_000
    first = torch.zeros(copies, dtype=torch.int64)
    many = batch_of(one.image[first], one.mask[first], one.label[first])
    jacobian = jacobian_on_background(net, one)
    squared = (~one.mask[0]).sum().item() * jacobian.square().sum().item()
    assert penalty("log_probability", net, many).item() == pytest.approx(squared, rel=0.04)
    squared = jacobian.sum(dim=(2, 3)).square().sum().item()
    assert penalty("aggregated", net, many).item() == pytest.approx(squared, rel=0.04)


class LooksBelowTheFirstRow(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = smooth_net(channels=1, side=3)

    def forward(self, image):
        return self.inner(image[:, :, 1:])


@every_case
def test_a_network_that_ignores_the_background_pays_nothing(case):
    generator, net = stream(0, "images"), LooksBelowTheFirstRow()
    mask = torch.ones(2, 1, 4, 3, dtype=torch.bool)
    mask[:, :, 0] = False
    image = torch.rand(2, 1, 4, 3, generator=generator, dtype=torch.float64)
    batch = batch_of(image, mask, torch.tensor([0, 1]))
    value = penalty(case, net, batch)
    assert value.item() == 0
    for gradient in torch.autograd.grad(value, list(net.parameters()), materialize_grads=True):
        assert not gradient.any()


@every_case
def test_the_weight_scales_the_penalty_and_not_the_cross_entropy(case):
    net, batch = smooth_net(), random_batch()
    light, heavy = (terms_of(case, net, batch, weight=weight) for weight in (2.0, 6.0))
    torch.testing.assert_close(heavy["background_gradient"], 3 * light["background_gradient"])
    expected = -log_probabilities(net, batch.image.numpy())[np.arange(3), batch.label.numpy()]
    for terms in (light, heavy):
        assert list(terms) == ["cross_entropy", "background_gradient", "background_gradient_raw"]
        assert terms["cross_entropy"].tolist() == pytest.approx(expected)


@every_case
def test_the_batch_is_neither_changed_nor_marked(case):
    net, batch = smooth_net(), random_batch()
    before = batch.image.clone()
    terms = terms_of(case, net, batch)
    sum(term.mean() for term in terms.values()).backward()
    assert torch.equal(batch.image, before)
    assert not batch.image.requires_grad
    assert batch.image.grad is None


def test_directions_come_from_the_generator_alone():
    net, batch = smooth_net(), random_batch()
    same, again, other = (penalty("aggregated", net, batch, seed=seed).item() for seed in (0, 0, 1))
    assert same == again
    assert same != other


def test_preparing_widens_the_masks_by_the_dilation(load):
    dataset = load("colored-digits")
    assert GradientPenalty().prepare(dataset, stream(0, "prepare")) is dataset
    prepared = GradientPenalty(dilation=3).prepare(dataset, stream(0, "prepare"))
    assert torch.equal(prepared.train.foregrounds.mask, dataset.train.dilated(3).foregrounds.mask)
    assert "shuffled_rim" in prepared.validation


def test_dimming_scales_each_background_by_one_factor_and_leaves_the_object():
    image = torch.rand(200, 3, 4, 4, generator=torch.Generator().manual_seed(0)) + 0.1
    mask = torch.rand(200, 1, 4, 4, generator=torch.Generator().manual_seed(1)) < 0.5
    mask[:, :, 0, 0] = False
    batch = batch_of(image, mask)
    dimmed = dim_backgrounds(batch, 0.6, torch.Generator().manual_seed(2))
    factor = dimmed.image / image
    where = mask.expand_as(image)
    assert torch.equal(dimmed.image[where], image[where])
    assert torch.allclose(factor[~where], factor[:, :1, :1, :1].expand_as(image)[~where])
    each = factor[:, 0, 0, 0]
    assert each.min() >= 0.4
    assert each.max() <= 1
    assert scipy.stats.kstest(each.numpy(), scipy.stats.uniform(0.4, 0.6).cdf).pvalue > 0.01
    assert torch.equal(dimmed.background, batch.background)


def test_without_dimming_the_batch_is_left_as_it_is():
    batch = batch_of(torch.rand(2, 3, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.bool))
    method = GradientPenalty()
    assert method.augment(learner_of(smooth_net()), batch, torch.Generator()) is batch


@every_case
def test_the_raw_value_is_the_squared_sum_whatever_the_weight_and_trains_nothing(case):
    net, batch = smooth_net(), random_batch()
    raw = [terms_of(case, net, batch, weight=weight)["background_gradient_raw"] for weight in (0.0, 5.0)]
    assert torch.equal(raw[0], raw[1])
    assert not raw[0].requires_grad
    if case == "rrr":
        n = (~batch.mask).sum(dim=(1, 2, 3))
        torch.testing.assert_close(terms_of(case, net, batch)["background_gradient"], n * raw[0])


class Halved(nn.Module):
    """Reads a picture of twice the side as one of the plain side."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, image):
        return self.inner(nn.functional.avg_pool2d(image, 2))


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("reproduced", "aggregated over windows of 3")])
def test_a_weight_means_the_same_at_twice_the_side_and_twice_the_batch(case):
    net, one = smooth_net(), random_batch()
    two = batch_of(one.image.repeat(2, 1, 1, 1), one.mask.repeat(2, 1, 1, 1), one.label.repeat(2))
    image, mask = (part.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) for part in (one.image, one.mask))
    large = batch_of(image, mask, one.label)
    if case in ("log_probability", "aggregated", "aggregated over windows of 1"):
        two = one
    torch.testing.assert_close(penalty(case, net, two), penalty(case, net, one))
    torch.testing.assert_close(penalty(case, Halved(net), large), penalty(case, net, one))


def test_the_gradient_of_summed_log_probabilities_is_zero_where_they_are_uniform():
    net, batch = smooth_net(), random_batch()
    with torch.no_grad():
        net[-1].weight.copy_(net[-1].weight[:1].expand(4, 5))
    assert penalty("log_probability", net, batch).item() == pytest.approx(0, abs=1e-20)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(18, 4)).double()
    with torch.no_grad():
        linear[1].bias.zero_()
        linear[1].weight.sub_(linear[1].weight.mean(dim=0))
    batch.image.zero_()
    assert penalty("rrr", linear, batch).item() == pytest.approx(0, abs=1e-20)


def test_the_gradient_of_summed_log_probabilities_of_a_linear_net():
    batch = random_batch()
    net = nn.Sequential(nn.Flatten(), nn.Linear(18, 4)).double()
    weight, p = net[1].weight, net(batch.image).softmax(dim=1)
    gradient = 4 * (weight.mean(dim=0) - p @ weight).view_as(batch.image)
    expected = background_energy(on_background(gradient, batch.mask), batch.mask)
    torch.testing.assert_close(terms_of("rrr", net, batch)["background_gradient"], expected)


def test_the_lead_is_over_the_best_other_class():
    logits = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    assert lead(logits, torch.tensor([0, 1])).tolist() == [1, -2]


def test_lit_only_leaves_out_black_background_pixels():
    batch = replace(random_batch(), image=torch.zeros_like(random_batch().image))
    batch.image[:, :, 0, 2] = 0.5
    lit = torch.ones_like(batch.mask)
    lit[:, :, 0, 2] = False
    net = smooth_net()
    found = penalty("reproduced", net, replace(batch, mask=torch.zeros_like(batch.mask)), lit_only=True)
    assert found.item() == pytest.approx(penalty("reproduced", net, replace(batch, mask=lit)).item(), rel=1e-12)
    assert found.item() > 0


@every_case
def test_the_penalty_alone_changes_the_weights(case):
    net = smooth_net()
    before = net[1].weight.detach().clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    penalty(case, net, random_batch()).backward()
    optimizer.step()
    assert not torch.equal(net[1].weight, before)


def test_smoothing_of_photographs_at_full_size_is_the_sum_over_windows():
    gradient = torch.randn(2, 3, 224, 224, generator=stream(0, "gradient"), dtype=torch.float64)
    mask = torch.rand(2, 1, 224, 224, generator=stream(1, "mask")) < 0.3
    found = aggregated_energy(on_background(gradient, mask), mask, 20)
    background, shown = gradient.masked_fill(mask, 0), (~mask).double()
    window = nn.functional.avg_pool2d(torch.cat([background, shown], dim=1), 41, 1, 20, divisor_override=1)
    n = shown.sum(dim=(1, 2, 3))
    density = n[:, None, None, None] * window[:, :3] / window[:, 3:].clamp(min=1)
    torch.testing.assert_close(found, (density * shown).square().sum(dim=(1, 2, 3)) / n)


def test_an_example_without_background_has_no_gradient_in_the_plain_form():
    gradient = torch.tensor([[3.0, 4.0], [0.0, 0.0]]).view(2, 1, 1, 2).requires_grad_()
    mask = torch.tensor([[False, False], [True, True]]).view(2, 1, 1, 2)
    value = plain_norm(gradient, mask)
    assert value.item() == pytest.approx(5.0)  # sqrt(2 / 2 * 25)
    value.backward()
    torch.testing.assert_close(gradient.grad.flatten(), torch.tensor([0.6, 0.8, 0, 0]))
