"""Contract of every flow family, found by looking."""

import inspect
import math
import sys

import pytest
import torch

from bgbias.errors import UnknownNameError
from bgbias.methods.flow.families import build_flow, flow_families

WIDTH, CONTEXT = 5, 3
every_family = pytest.mark.parametrize("family", flow_families)


def flow(family, width=WIDTH, seed=0):
    """A flow whose parameters were moved far from their start, in double precision."""
    torch.manual_seed(seed)
    found = build_flow(family, width, CONTEXT, depth=3, hidden=16).double()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return found


def rows(n, width, seed=1):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@every_family
def test_what_comes_back_is_what_went_in(family):
    net, noise, context = flow(family), rows(50, WIDTH), rows(50, CONTEXT, 2)
    samples = net.forward(noise, context=context)
    assert (samples - noise).abs().max() > 0.1
    torch.testing.assert_close(net.inverse(samples, context=context), noise, atol=1e-6, rtol=1e-6)


@every_family
def test_the_log_determinant_is_the_jacobians(family):
    net, noise, context = flow(family), rows(4, WIDTH), rows(4, CONTEXT, 2)
    _, found = net.forward_and_log_det(noise, context=context)
    for i in range(4):
        jacobian = torch.autograd.functional.jacobian(
            lambda z, i=i: net.forward(z[None], context=context[i : i + 1])[0], noise[i]
        )
        assert found[i].item() == pytest.approx(torch.linalg.slogdet(jacobian).logabsdet.item(), abs=1e-5)


@every_family
def test_the_log_density_follows_from_the_change_of_variables(family):
    net, noise, context = flow(family), rows(20, WIDTH), rows(20, CONTEXT, 2)
    samples, log_determinant = net.forward_and_log_det(noise, context=context)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum(dim=1)
    expected = normal - log_determinant.double()
    torch.testing.assert_close(net.log_prob(samples, context=context), expected, atol=1e-5, rtol=1e-5)


@every_family
def test_densities_integrate_to_one(family):
    net = flow(family, width=2)
    side = torch.linspace(-30, 30, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    context = torch.full((len(grid), CONTEXT), 0.3, dtype=torch.float64)
    with torch.no_grad():
        mass = net.log_prob(grid, context=context).exp().sum() * (side[1] - side[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=0.02)


@every_family
def test_the_context_changes_the_samples(family):
    net, noise = flow(family), rows(10, WIDTH)
    one, other = (net.forward(noise, context=rows(10, CONTEXT, seed)) for seed in (2, 3))
    assert (one - other).abs().amax(dim=1).min() > 1e-3


@every_family
def test_gradients_reach_every_parameter(family):
    net = flow(family)
    (-net.log_prob(rows(64, WIDTH), context=rows(64, CONTEXT, 2)).mean()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@every_family
@pytest.mark.parametrize("scale", [30, 1e4])
def test_extreme_inputs_stay_finite(family, scale):
    net = flow(family, width=32).float()
    noise, context = rows(20, 32).float(), rows(20, CONTEXT, 2).float()
    for value, told in ((noise * scale, context), (noise, context * scale)):
        assert net.log_prob(value, context=told).isfinite().all()
        assert net.forward(value, context=told).isfinite().all()


@every_family
def test_it_learns_a_distribution_that_depends_on_the_context(family):
    torch.manual_seed(0)
    net = build_flow(family, 2, 1, depth=4, hidden=32)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    context = torch.randn(500, 1)
    target = torch.cat([context, torch.sin(2 * context)], dim=1) + 0.2 * torch.randn(500, 2)
    for _ in range(200):
        optimizer.zero_grad()
        loss = -net.log_prob(target, context=context).mean()
        loss.backward()
        optimizer.step()
    entropy = math.log(2 * math.pi * math.e) + 2 * math.log(0.2)
    assert loss.item() == pytest.approx(entropy, abs=0.3)


@every_family
def test_its_file_names_its_source(family):
    assert "Source" in inspect.getdoc(flow_families[family])
    assert flow_families[family].__module__ in sys.modules


def test_an_unknown_family_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"unknown flow family 'coupling': .*affine_coupling"):
        build_flow("coupling", 2, 2, 1, 8)
