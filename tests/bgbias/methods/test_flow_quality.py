import numpy as np
import pytest
import torch
from made_learners import task_of
from scipy.stats import norm

from bgbias.methods.flow.method import FlowEmbedding
from bgbias.methods.flow.quality import Moves, bits_per_dimension, by_class, measure, normality, sampling_curve
from bgbias.methods.method import build_learner
from bgbias.models.compact_cnn import CompactCnn
from bgbias.optimization import Training
from bgbias.randomness import stream
from bgbias.training import Trainer

CPU = torch.device("cpu")
WIDTH = 4


@pytest.fixture(scope="module")
def digits(load):
    return load("colored-digits")


@pytest.fixture(scope="module")
def run(digits):
    method = FlowEmbedding(backbone=None, width=WIDTH, swaps=3, max_samples=8, likelihood_weight=0.1)
    trained = Trainer(method, CompactCnn(), digits, Training(epochs=6, batch_size=64, learning_rate=3e-3), 0, CPU)
    for _ in range(6):
        trained.train_epoch()
    trained.notes()
    trained.learner.eval()
    return trained


def untrained():
    """A flow that is the identity: moves are standard normal to it."""
    method = FlowEmbedding(width=WIDTH)
    torch.manual_seed(0)
    module = build_learner(method, task_of(), CompactCnn().build(task_of())).own.eval()
    with torch.no_grad():
        for layer in module.flow.flows:
            for parameter in layer.network[-1].parameters():
                parameter.zero_()
    return module


def made_moves(n, seed, spread=1.0):
    rng = torch.Generator().manual_seed(seed)
    own = torch.randn(n, WIDTH, generator=rng)
    move = spread * torch.randn(n, WIDTH, generator=rng)
    return Moves(own, own + move, torch.arange(n) % 2, torch.zeros(n, dtype=torch.int64))


@torch.no_grad()
def test_bits_of_normal_moves_are_their_entropy():
    found = bits_per_dimension(untrained(), made_moves(4000, 0), made_moves(4000, 1))
    entropy = 0.5 * np.log2(2 * np.pi * np.e)
    assert found["flow"] == pytest.approx(entropy, abs=0.03)
    assert found["gaussian"] == pytest.approx(entropy, abs=0.03)
    assert found["gaussian_mixture"] == pytest.approx(entropy, abs=0.1)


@torch.no_grad()
def test_baselines_know_what_a_linear_function_of_the_context_tells():
    def linear(n, seed):
        moves = made_moves(n, seed, spread=0.1)
        return Moves(moves.own, 2 * moves.own + (moves.moved - moves.own) + 3, moves.place, moves.label)

    found = bits_per_dimension(untrained(), linear(3000, 0), linear(3000, 1))
    assert found["gaussian"] == pytest.approx(0.5 * np.log2(2 * np.pi * np.e * 0.01), abs=0.05)
    assert found["flow"] > found["gaussian"] + 3


def test_normal_noise_passes_and_other_noise_does_not():
    rng = np.random.default_rng(0)
    good = normality(rng.normal(size=(500, 3)))
    assert good.dimension_p.min() > 0.01
    assert good.radius_p > 0.01
    wide = normality(1.5 * rng.normal(size=(500, 3)))
    assert wide.dimension_p.max() < 1e-3
    assert wide.radius_p < 1e-6
    assert wide.pit == pytest.approx(norm.cdf(norm.ppf(wide.pit)))


def test_the_radius_test_sees_dependence_that_no_dimension_shows():
    column = np.random.default_rng(0).normal(size=500)
    copied = normality(np.stack([column] * 6, axis=1))
    assert copied.dimension_p.min() > 0.01
    assert copied.radius_p < 1e-6


def test_classes_are_tested_apart():
    held_out = made_moves(400, 0)
    same = made_moves(400, 1)
    sampled = held_out.own + (same.moved - same.own)
    shifted = torch.where((held_out.place == 1)[:, None], sampled + 3, sampled)
    found = by_class(held_out, shifted, seed=0)
    assert [found[label].examples for label in (0, 1)] == [200, 200]
    assert found[0].classifier.p_value > 0.01 > found[1].classifier.p_value
    assert found[0].kernel.p_value > 0.01 > found[1].kernel.p_value


def test_a_trained_flow_beats_the_identity_and_inverts(run, digits):
    quality = measure(run.learner, digits, swaps=3, count=300, seed=0)
    assert quality.bits["flow"] < bits_of_the_identity(run.learner, digits)
    assert quality.inversion_error < 1e-4
    assert quality.agreement > 0.5
    assert 0 <= quality.coverage <= 1
    assert set(quality.classes) <= set(range(10))
    again = measure(run.learner, digits, swaps=3, count=300, seed=0)
    assert again.bits == quality.bits
    assert again.classes == quality.classes


@torch.no_grad()
def bits_of_the_identity(learner, digits):
    from bgbias.methods.flow.quality import moves

    found = moves(learner, digits.test["original"].spread(300), 1, stream(0, "held-out moves"))
    log_density = torch.distributions.Normal(0.0, 1.0).log_prob(found.moved - found.own)
    return -log_density.mean().item() / np.log(2)


def test_the_curve_is_the_methods_own(run, digits):
    variant = digits.test["shuffled"]
    curve = sampling_curve(run.method, run.learner, variant, 8)
    batch = variant.batch(torch.arange(len(variant)))
    for samples, logits in run.method.predict(run.learner, batch.image).by_samples().items():
        expected = (logits.argmax(dim=1) == batch.label).double().mean().item()
        assert curve.votes["majority"][samples] == expected
    own = (run.learner(batch.image).argmax(dim=1) == batch.label).double().mean().item()
    assert curve.backbone == own
    assert curve.images == 300
