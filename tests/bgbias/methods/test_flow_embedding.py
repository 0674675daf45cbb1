import dataclasses

import pytest
import torch
import torch.nn.functional as F
from made_learners import learner_of, task_of
from torch import nn

from bgbias.data.encoded import encoded_dataset
from bgbias.data.features import Encoder
from bgbias.errors import SettingError
from bgbias.evaluation.accuracy import predict
from bgbias.methods.flow import method as flow_embedding
from bgbias.methods.flow.method import (
    FlowEmbedding,
    features_of,
    sampling_classes,
    sampling_noise,
    weighted_cross_entropy,
)
from bgbias.methods.flow.module import FlowModule
from bgbias.methods.flow.votes import VOTES, Tally
from bgbias.methods.method import Stage, build_learner, logits_of, own_of
from bgbias.models.compact_cnn import CompactCnn
from bgbias.models.torchvision_classifier import TorchvisionClassifier
from bgbias.optimization import Training
from bgbias.randomness import stream
from bgbias.training import Trainer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits(load):
    return load("colored-digits")


def flow(**fields):
    """The method on a backbone as the model makes it."""
    return FlowEmbedding(**{"backbone": None, "width": 8, "swaps": 1, "max_samples": 2, **fields})


def built(method, seed=0):
    """A learner with a random backbone whose flow moves embeddings visibly."""
    torch.manual_seed(seed)
    learner = build_learner(method, task_of(), CompactCnn().build(task_of()))
    with torch.no_grad():
        for parameter in learner.own.flow.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return learner.eval()


def images(digits, n=6):
    return digits.test["shuffled"].batch(torch.arange(n)).image


def trained(digits, epochs=2, **fields):
    method = flow(**{"swaps": 2, "max_samples": 8, **fields})
    run = Trainer(method, CompactCnn(), digits, Training(epochs=epochs, batch_size=64, learning_rate=3e-3), 0, CPU)
    for _ in range(epochs):
        metrics = run.train_epoch()
    return run, {**metrics, **run.notes().values}


def test_features_are_what_the_last_linear_layer_is_given(digits):
    for model in (CompactCnn(), TorchvisionClassifier()):
        classifier = model.build(task_of()).eval()
        features, logits = classifier.features(images(digits)), classifier(images(digits))
        torch.testing.assert_close(classifier.linear(features), logits)
        torch.testing.assert_close(classifier(features), logits)


def test_a_backbone_without_a_linear_layer_is_refused():
    with pytest.raises(SettingError, match="a backbone must end in a linear layer, but this model has none"):
        FlowEmbedding().build(task_of(), learner_of(nn.Identity()).classifier)


def test_the_backbone_and_its_statistics_stay_as_they_are(load):
    photographs = load("imagenet9", size=32)
    method = flow(width=4)
    run = Trainer(method, TorchvisionClassifier(), photographs, Training(epochs=1, batch_size=16), 0, CPU)
    before = {name: value.clone() for name, value in run.learner.classifier.state_dict().items()}
    run.train_epoch()
    run.notes()
    assert all(torch.equal(before[name], value) for name, value in run.learner.classifier.state_dict().items())


def test_every_vote_at_every_count_is_the_vote_of_all_samples_at_once(digits, monkeypatch):
    method = FlowEmbedding(max_samples=16, temperature=0.7)
    learner, image = built(method), images(digits)
    module, features = learner.own, features_of(learner, image)
    own = module.embed(features)
    noise, classes = 0.7 * sampling_noise(16, method.width), sampling_classes(16, 10)
    moved = [module.moved(own, noise[s].expand_as(own), classes[s].expand(len(own))) for s in range(16)]
    probability = torch.stack([module.logits(found).softmax(dim=1) for found in moved], dim=1)
    monkeypatch.setattr(flow_embedding, "ROWS", 5 * len(image))
    seen = []
    for tally in method.tallies(module, features, 16):
        seen.append(tally.count)
        expected = Tally(len(image), 10, CPU)
        expected.add(probability[:, : tally.count])
        for vote in VOTES:
            torch.testing.assert_close(tally.logits(vote), expected.logits(vote), atol=1e-5, rtol=1e-5)
    assert seen == [1, 2, 4, 8, 16]


def test_a_prediction_is_the_curves_at_the_number_in_the_learner(digits):
    method = FlowEmbedding(max_samples=8)
    learner, image = built(method), images(digits)
    module = learner.own
    curve = method.predict(learner, image).by_samples()
    assert list(curve) == [0, 1, 2, 4, 8]
    torch.testing.assert_close(curve[0].float(), module.logits(module.embed(features_of(learner, image))))
    for samples in curve:
        module.samples.fill_(samples)
        predicted = method.predict(learner, image)
        torch.testing.assert_close(predicted.logits, curve[samples])
        torch.testing.assert_close(logits_of(method, learner, image), curve[samples])
        by_samples = predicted.by_samples()
        assert by_samples.keys() == curve.keys()
        assert torch.equal(predicted.logits, by_samples[samples])
        torch.testing.assert_close(by_samples, curve)


def test_features_are_answered_as_their_images(digits):
    method = FlowEmbedding(max_samples=8)
    learner = built(method)
    learner.own.samples.fill_(8)
    dataset = encoded_dataset(
        digits, 1, Encoder(lambda image: features_of(learner, image).detach()), stream(0, "encode")
    )
    seen, pictures = (predict(method, learner, part.test["shuffled"]) for part in (dataset, digits))
    assert torch.equal(seen.prediction, pictures.prediction)
    assert seen.loss == pictures.loss
    assert list(seen.by_samples) == [0, 1, 2, 4, 8]


def test_more_samples_begin_with_the_same_and_classes_take_turns():
    assert torch.equal(sampling_noise(300, 4)[:100], sampling_noise(100, 4))
    assert sampling_noise(4000, 2).mean().item() == pytest.approx(0, abs=0.05)
    assert sampling_noise(4000, 2).std().item() == pytest.approx(1, abs=0.05)
    classes = sampling_classes(64, 5)
    assert torch.equal(classes[:13], sampling_classes(13, 5))
    for start in range(0, 60, 5):
        assert sorted(classes[start : start + 5].tolist()) == [0, 1, 2, 3, 4]


def test_own_and_swapped_backgrounds_share_the_cross_entropy():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 3.0], [0.0, 0.0], [1.0, 0.0]])
    label = torch.tensor([0, 1])
    loss = [F.cross_entropy(logits[i : i + 1], label[i // 3 : i // 3 + 1]).item() for i in range(6)]
    own, swapped = (loss[0] + loss[3]) / 2, (loss[1] + loss[2] + loss[4] + loss[5]) / 4
    for weight in (0.0, 0.3, 1.0):
        found = weighted_cross_entropy(logits, label, weight)
        assert found.item() == pytest.approx(weight * own + (1 - weight) * swapped)


def test_the_number_of_samples_is_the_best_on_the_variants_that_something_was_pasted_in(digits):
    run, metrics = trained(digits)
    method, learner, validation = run.method, run.learner.eval(), digits.validation
    right = {}
    for name in ("original", "shuffled"):
        batch = validation[name].batch(torch.arange(len(validation[name])))
        for samples, logits in method.predict(learner, batch.image).by_samples().items():
            right[samples] = right.get(samples, 0) + int((logits.argmax(dim=1) == batch.label).sum())
    best = max(right, key=lambda samples: (right[samples], -samples))
    assert metrics["samples"] == best == int(learner.own.samples)


def test_the_last_share_of_the_epochs_is_a_stage_of_its_own_with_the_same_view():
    own = [Stage(6), Stage(2, same_view=True)]
    assert FlowEmbedding(settling=0.25).stages(8) == [Stage(10, by="dynamic_replacement"), *own]
    assert FlowEmbedding(settling=0.25, backbone=None).stages(8) == own
    assert FlowEmbedding(settling=0.0, backbone=None).stages(8) == [Stage(8)]
    assert FlowEmbedding(settling=0.25, backbone=None).stages(1) == [Stage(1)]


def test_the_embedding_rests_at_the_end_while_the_flow_goes_on(digits):
    method = flow(settling=0.5)
    run = Trainer(method, CompactCnn(), digits, Training(epochs=2, batch_size=64), 0, CPU)
    run.train_epoch()
    own = run.learner.own
    before = {name: value.clone() for name, value in own.state_dict().items()}
    run.train_epoch()
    changed = {name.split(".")[0] for name, value in own.state_dict().items() if not torch.equal(before[name], value)}
    assert "embedding" not in changed
    assert {"flow", "classifier", "joint_mean", "joint_covariance"} <= changed


def test_what_the_flow_is_told_is_taken_out_of_moves_first():
    module = built(FlowEmbedding(width=4)).own
    rng = torch.Generator().manual_seed(0)
    own, classes = torch.randn(5000, 4, generator=rng), torch.arange(5000) % 10
    noise = 1e-2 * torch.randn(5000, 4, generator=rng)
    moved = own - 0.5 * own.roll(1, dims=1) + F.one_hot(classes, 10).float() @ torch.randn(10, 4, generator=rng) + noise
    with torch.no_grad():
        for _ in range(1500):
            module.train().log_density(own, moved, classes)
        for layer in module.eval().flow.flows:
            for parameter in layer.network[-1].parameters():
                parameter.zero_()
        found = module.noise(own, moved, classes)
    torch.testing.assert_close(found.T.cov(), torch.eye(4), atol=0.05, rtol=0)
    assert (found.T @ (noise / 1e-2) / 5000 - torch.eye(4)).abs().max() < 0.1


def test_the_negative_log_likelihood_is_of_a_standard_normal_move_before_training(digits):
    method = flow(likelihood_weight=1.0, vote_weight=0.0)
    run = Trainer(method, CompactCnn(), digits, Training(batch_size=64), 0, CPU)
    with torch.no_grad():
        for layer in run.learner.own.flow.flows:
            for parameter in layer.network[-1].parameters():
                parameter.zero_()
    batch = run.batch(torch.arange(32), stream(0, "draws"))
    terms = method.loss(run.learner.eval(), batch, stream(0, "draws"))
    embedding = run.learner.own.embedding(batch.image.flatten(0, 1)).view(32, 2, 8)
    move = embedding[:, 0] - embedding[:, 1]
    expected = -torch.distributions.Normal(0.0, 1.0).log_prob(move).mean()
    assert terms["negative_log_likelihood"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_moves_are_shown_to_the_flow_whitened_and_come_back():
    module = built(FlowEmbedding(width=4)).own
    mix = torch.tensor([[2.0, 0.0, 0.0, 0.0], [1.0, 0.5, 0.0, 0.0], [0.0, 0.3, 0.1, 0.0], [0.2, 0.0, 0.0, 0.05]])
    rng = torch.Generator().manual_seed(0)
    own, classes = torch.randn(5000, 4, generator=rng), torch.zeros(5000, dtype=torch.int64)
    moved = own + torch.randn(5000, 4, generator=rng) @ mix.T + 3
    with torch.no_grad():
        for _ in range(400):
            module.train().log_density(own, moved, classes)
        module.eval()
        for layer in module.flow.flows:
            for parameter in layer.network[-1].parameters():
                parameter.zero_()
        noise = module.noise(own, moved, classes)
        torch.testing.assert_close(noise.T.cov(), torch.eye(4), atol=1e-2, rtol=0)
        torch.testing.assert_close(module.moved(own, noise, classes), moved, atol=1e-4, rtol=1e-4)
        normal = torch.distributions.MultivariateNormal((moved - own).mean(dim=0), mix @ mix.T)
        density = module.log_density(own, moved, classes)
        assert density.mean().item() == pytest.approx(normal.log_prob(moved - own).mean().item(), abs=0.02)


@pytest.mark.parametrize("faithful", [True, False])
def test_only_an_unfaithful_flow_learns_from_votes(digits, faithful):
    run = Trainer(flow(faithful=faithful), CompactCnn(), digits, Training(batch_size=64), 0, CPU)
    own = run.learner.train().own
    terms = run.method.loss(run.learner, run.batch(torch.arange(32), stream(0, "d")), stream(0, "d"))
    terms["vote_cross_entropy"].backward()
    assert all(parameter.grad.any() for parameter in own.classifier.parameters())
    assert all(parameter.grad.any() for parameter in own.embedding.parameters())
    learnt = [parameter.grad is not None and bool(parameter.grad.any()) for parameter in own.flow.parameters()]
    assert learnt == [not faithful] * len(learnt)


def test_a_vote_that_starts_from_swapped_backgrounds_is_not_fooled_by_the_own_one(digits):
    """Taught from own backgrounds alone, the vote reads the background; taught from all, it reads the digit."""
    accuracy = {}
    for own_weight in (1.0, 0.3):
        run, _ = trained(digits, epochs=12, own_weight=own_weight, vote_weight=1.0)
        found = predict(run.method, run.learner, run.view.test["shuffled"])
        accuracy[own_weight] = (found.by_samples[8] == found.label).double().mean().item()
    assert accuracy[1.0] < 0.5
    assert accuracy[0.3] > accuracy[1.0] + 0.2


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"family": "coupling"}, "must be one of affine_coupling, masked_autoregressive, spline_coupling"),
        ({"max_samples": 12}, "must be a power of two"),
        ({"max_samples": 0}, "greater than or equal to 1"),
        ({"vote": "plurality"}, "'majority', 'mean_probability' or 'reproduced'"),
        ({"temperature": 0}, "greater than 0"),
    ],
)
def test_wrong_fields_are_refused(fields, rule):
    with pytest.raises(ValueError, match=rule):
        FlowEmbedding(**fields)


def test_moves_are_computed_in_full_precision_beside_bfloat16(digits):
    method = flow()
    run = Trainer(method, CompactCnn(), digits, Training(batch_size=64, precision="bfloat16"), 0, CPU)
    assert all(torch.tensor(value).isfinite() for value in run.train_epoch().values())
    image = images(digits)
    module = run.learner.eval().own
    with run.training.arithmetic(CPU):
        own = module.embed(features_of(run.learner, image))
        noise, classes = torch.randn(own.shape), torch.arange(len(own))
        moved = module.moved(own, noise, classes)
    torch.testing.assert_close(moved, module.moved(own, noise, classes), rtol=0, atol=0)


def test_another_learner_is_refused():
    with pytest.raises(TypeError, match="the method needs the FlowModule that it builds, but got Module"):
        own_of(learner_of(nn.Linear(2, 2)), FlowModule)


def test_gradients_of_predictions_reach_the_image(digits):
    method = FlowEmbedding(max_samples=8)
    learner, image = built(method), images(digits).requires_grad_()
    learner.own.samples.fill_(8)
    logits_of(method, learner, image).sum().backward()
    assert image.grad.isfinite().all()
    assert image.grad.any()
    assert dataclasses.fields(method)
