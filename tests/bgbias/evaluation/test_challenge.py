"""The Background Challenge against a plain loop over every pair, and on answers written by hand."""

import dataclasses

import pytest
import torch
from made_learners import foregrounds_of, learner_of
from torch import nn

from bgbias.data.compose import unit
from bgbias.data.dataset import Variant
from bgbias.evaluation.challenge import (
    GRADIENT_TRIES,
    ROBUST,
    BackgroundChallenge,
    Verdict,
    challenge_of,
    fewer_backgrounds,
)
from bgbias.evaluation.evaluate import Evaluation, evaluate
from bgbias.evaluation.evaluator import Predictions
from bgbias.methods.dynamic_replacement import DynamicReplacement
from bgbias.methods.erm import Erm
from bgbias.models.compact_cnn import CompactCnn
from bgbias.optimization import Training
from bgbias.training import Trainer
from bgbias.types import OWN_BACKGROUND, Backgrounds

CPU = torch.device("cpu")


class Table(nn.Module):
    """Answers a picture of two pixels (number of the foreground, number of the background) from a table [N, M, K]."""

    def __init__(self, logits):
        super().__init__()
        self.logits, self.asked = logits, []

    def forward(self, image):
        pairs = image[:, 0, 0].round().long().tolist()
        self.asked += map(tuple, pairs)
        return torch.stack([self.logits[front, back] for front, back in pairs])


def numbered(n, m, label):
    """N foregrounds whose left pixel is their number, on M backgrounds whose right pixel is theirs."""
    image = torch.zeros(n, 1, 1, 2)
    image[:, 0, 0, 0] = torch.arange(n)
    behind = torch.zeros(m + 1, 1, 1, 2)
    behind[:m, 0, 0, 1] = torch.arange(m)
    mask = torch.tensor([True, False]).expand(n, 1, 1, 2)
    back = Backgrounds(behind, torch.zeros(m, dtype=torch.int64), int(label.max()) + 1)
    return Variant(foregrounds_of(image, label, mask), back, torch.full((n,), OWN_BACKGROUND))


def finished(challenge):
    while len(challenge.undecided):
        challenge.round()
    return challenge.verdict()


def assert_alike(straight, again):
    for field in dataclasses.fields(Verdict):
        one, other = getattr(straight, field.name), getattr(again, field.name)
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def random_case(n=40, m=30, k=4, seed=0, lift=1.5):
    rng = torch.Generator().manual_seed(seed)
    label = torch.randint(k, (n,), generator=rng)
    logits = torch.randn(n, m, k, generator=rng) + torch.randn(n, 1, k, generator=rng)
    logits[torch.arange(n), :, label] += lift * torch.rand(n, 1, generator=rng) * 6
    return logits, label, numbered(n, m, label)


@pytest.mark.parametrize("seed", range(5))
def test_the_verdict_is_that_of_every_pair(seed):
    logits, label, variant = random_case(seed=seed)
    table = Table(logits)
    verdict = finished(BackgroundChallenge(Erm(), learner_of(table), variant))
    wrong = logits.argmax(dim=2) != label[:, None]
    assert torch.equal(verdict.robust, ~wrong.any(dim=1))
    assert 0 < verdict.robust.sum() < len(label)
    fooled = ~verdict.robust
    by, prediction = verdict.fooled_by[fooled], verdict.prediction[fooled]
    assert torch.equal(logits[fooled, by].argmax(dim=1), prediction)
    assert (prediction != label[fooled]).all()
    assert torch.equal(verdict.prediction[verdict.robust], label[verdict.robust])
    asked = table.asked[1:]
    assert len(asked) == len(set(asked)) == verdict.passes
    assert verdict.fewest_passes(30) == 30 * int(verdict.robust.sum()) + int(fooled.sum()) <= verdict.passes


def test_dangerous_backgrounds_are_found_early():
    """One background in two hundred fools everything: once it is known, each foreground meets it at once."""
    n, m = 300, 200
    logits = torch.zeros(n, m, 2)
    logits[:, :, 0] = 1.0
    logits[:, 77, 1] = 9.0
    variant = numbered(n, m, torch.zeros(n, dtype=torch.int64))
    verdict = finished(BackgroundChallenge(Erm(), learner_of(Table(logits)), variant))
    assert verdict.accuracy == 0
    assert (verdict.fooled_by == 77).all()
    assert verdict.passes < 6 * n


class SumOfPixels(nn.Module):
    """Class 1 is answered where the pixels sum to more than a half."""

    def forward(self, image):
        return torch.stack([torch.full((len(image),), 0.5), image.sum(dim=(1, 2, 3))], dim=1)


def one_free_pixel(n, robust):
    """Each background is lit in one pixel, and each object leaves another pixel free, but for some that leave none.

    Returns:
        The variant, and for each object the one background that fools it, or `ROBUST`.
    """
    image, lit = torch.zeros(n, 1, 1, n), torch.cat([torch.eye(n), torch.zeros(1, n)])[:, None, None]
    free = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    mask = ~torch.eye(n, dtype=torch.bool)[free][:, None, None]
    mask[:robust], free[:robust] = True, ROBUST
    front = foregrounds_of(image, torch.zeros(n, dtype=torch.int64), mask)
    behind = Backgrounds(lit, torch.zeros(n, dtype=torch.int64), 1)
    return Variant(front, behind, torch.full((n,), OWN_BACKGROUND)), free


def test_what_shows_beside_an_object_is_found_along_the_gradient(monkeypatch):
    n, robust = 150, 4
    monkeypatch.setattr("bgbias.evaluation.saliency.PASS_PIXELS", 16 * n)
    variant, expected = one_free_pixel(n, robust)
    verdict = finished(BackgroundChallenge(Erm(), learner_of(SumOfPixels()), variant))
    assert torch.equal(verdict.fooled_by, expected)
    assert torch.equal(verdict.prediction, (expected != ROBUST).long())
    assert robust * n < verdict.passes < robust * n + (n - robust) * (GRADIENT_TRIES.start + 2)
    assert 0 < verdict.gradients < 2 * n + robust * len(GRADIENT_TRIES)


def test_stopping_amid_gradients_and_going_on_equals_never_stopping():
    variant, _ = one_free_pixel(150, 4)
    straight = BackgroundChallenge(Erm(), learner_of(SumOfPixels()), variant)
    for _ in range(GRADIENT_TRIES.start + 1):
        straight.round()
    state = {name: value.clone() for name, value in straight.state().items()}
    assert len(state["continued"]) == len(straight.undecided) > 4
    resumed = BackgroundChallenge(Erm(), learner_of(SumOfPixels()), variant)
    resumed.load_state(state)
    assert_alike(finished(straight), finished(resumed))


def test_what_was_heard_is_tried_first_and_decides_nothing():
    """Each foreground is fooled by one background of two hundred, and a variant has shown which."""
    n, m = 50, 200
    logits = torch.zeros(n, m, 2)
    logits[:, :, 0] = 1.0
    logits[:, 77, 1] = 9.0
    variant = numbered(n, m, torch.zeros(n, dtype=torch.int64))
    shown = variant.assigned(torch.arange(n) * 3)
    observed = Predictions(
        variant.foregrounds.label, torch.zeros(n), None, logits[torch.arange(n), torch.arange(n) * 3]
    )
    assert (observed.logits[:, 1] > 1).sum() == 0
    shown.assignment[7], observed.logits[7] = 77, logits[7, 77]
    table = Table(logits)
    found = {"original": observed, "mixed": observed}
    verdict = finished(challenge_of(Erm(), learner_of(table), {"original": variant, "mixed": shown}, found))
    assert (verdict.fooled_by == 77).all()
    assert verdict.passes == len(table.asked) - 1 == n


def test_stopping_and_going_on_equals_never_stopping():
    logits, _, variant = random_case(seed=7)
    straight = finished(BackgroundChallenge(Erm(), learner_of(Table(logits)), variant))
    stopped = BackgroundChallenge(Erm(), learner_of(Table(logits)), variant)
    for _ in range(5):
        stopped.round()
    state = {name: value.clone() for name, value in stopped.state().items()}
    resumed = BackgroundChallenge(Erm(), learner_of(Table(logits)), variant)
    resumed.load_state(state)
    assert_alike(straight, finished(resumed))


def test_progress_runs_from_nothing_to_everything():
    logits, _, variant = random_case()
    challenge = BackgroundChallenge(Erm(), learner_of(Table(logits)), variant)
    shares = [challenge.share_done]
    while len(challenge.undecided):
        challenge.round()
        shares.append(challenge.share_done)
    assert shares[0] == 0
    assert shares[-1] == 1
    assert shares == sorted(shares)


def test_accuracies_and_interval_of_a_verdict_worked_by_hand():
    verdict = Verdict(
        label=torch.tensor([0, 0, 1, 1]),
        fooled_by=torch.tensor([ROBUST, 2, 0, 2]),
        prediction=torch.tensor([0, 1, 0, 0]),
        passes=9,
        gradients=0,
    )
    assert verdict.accuracy == 0.25
    assert [verdict.class_accuracy(label) for label in (0, 1)] == [0.5, 0.0]
    assert verdict.hits(3).tolist() == [1, 0, 2]
    assert verdict.fewest_passes(3) == 6
    # Wilson: (k + z^2 / 2 +- z sqrt(k (n - k) / n + z^2 / 4)) / (n + z^2) with z = 1.959964, k = 1, n = 4
    assert verdict.interval == pytest.approx((0.045587, 0.699358), abs=1e-6)


@pytest.fixture(scope="module")
def trained(load):
    """A network trained on photographs until it withstands some backgrounds, though not all."""
    settings = Training(learning_rate=2e-3, batch_size=8)
    dataset = load("imagenet9", size=32, min_scale=0.5, jitter=0.1)
    run = Trainer(DynamicReplacement(p=0.8), CompactCnn(), dataset, settings, 0, CPU)
    for _ in range(5):
        run.train_epoch()
    return run


def brute_force(learner, variant):
    """Every foreground on every background, one picture at a time, composed by hand."""
    front, back = variant.foregrounds, variant.backgrounds
    learner.eval()
    robust = []
    for i in range(len(variant)):
        one = torch.tensor([i])
        image, mask, label = unit(front.image[one]), front.mask[one], front.label[i]
        fooled = False
        for j in range(len(back)):
            pasted = mask * image + ~mask * unit(back.image[torch.tensor([j])])
            with torch.no_grad():
                fooled |= bool(learner(pasted).argmax(dim=1)[0] != label)
        robust.append(not fooled)
    return torch.tensor(robust)


def test_it_agrees_with_brute_force_foreground_by_foreground(trained):
    variant = trained.dataset.test["original"]
    expected = brute_force(trained.learner, variant)
    verdict = finished(BackgroundChallenge(Erm(), trained.learner, variant))
    assert torch.equal(verdict.robust, expected)
    assert 0 < verdict.accuracy < 1


def test_as_a_variant_it_is_measured_like_the_others(trained):
    found = evaluate(Erm(), trained.learner, trained.dataset, Evaluation(also="challenge").chosen())
    expected = brute_force(trained.learner, trained.dataset.test["original"])
    predicted = found.predictions["test/challenge"]
    assert torch.equal(predicted.prediction == predicted.label, expected)
    assert predicted.loss is None
    assert found.metrics["test/challenge/accuracy"] == expected.double().mean().item()
    assert "test/challenge/loss" not in found.metrics
    assert "test/challenge/worst_group_accuracy" not in found.metrics
    assert "val/challenge" in found.predictions
    few = evaluate(Erm(), trained.learner, trained.dataset, Evaluation(also="challenge", backgrounds=3).chosen())
    original = trained.dataset.test["original"]
    expected = brute_force(trained.learner, fewer_backgrounds(original, 3))
    assert len(original.backgrounds) > 3
    predicted = few.predictions["test/challenge"]
    assert torch.equal(predicted.prediction == predicted.label, expected)
    plain = evaluate(Erm(), trained.learner, trained.dataset, Evaluation().chosen())
    assert "test/challenge" not in plain.predictions
    assert "test/challenge/accuracy" not in plain.metrics


@pytest.mark.parametrize("backgrounds", [None, 3])
def test_with_a_frozen_body_features_of_all_pairs_are_computed_once(load, monkeypatch, backgrounds):
    settings = Training(learning_rate=2e-2, batch_size=8, body_rate=0.0)
    dataset = load("imagenet9", size=32)
    run = Trainer(DynamicReplacement(p=0.8), CompactCnn(), dataset, settings, 0, CPU)
    for _ in range(5):
        run.train_epoch()
    chosen = Evaluation(also="challenge", backgrounds=backgrounds).chosen()
    found = evaluate(run.method, run.learner, run.view, chosen).predictions["test/challenge"]
    expected = brute_force(run.learner, fewer_backgrounds(dataset.test["original"], backgrounds))
    assert torch.equal(found.prediction == found.label, expected)
    assert 0 < expected.double().mean() < 1
    before = run.learner.classifier.passes.forward
    again = evaluate(run.method, run.learner, run.view, chosen).predictions["test/challenge"]
    assert torch.equal(again.prediction, found.prediction)
    assert run.learner.classifier.passes.forward == before
    monkeypatch.setattr("bgbias.evaluation.challenge_features.KEPT_BYTES", 0)
    unkept = evaluate(run.method, run.learner, run.view, chosen).predictions["test/challenge"]
    assert torch.equal(unkept.prediction == unkept.label, expected)
    assert run.learner.classifier.passes.forward > before
