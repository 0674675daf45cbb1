"""What every method keeps to, found by looking: it learns, repeats, resumes and changes nothing it was handed."""

import dataclasses
import inspect
import io

import pytest
import torch

from bgbias.data.dataset import Variant
from bgbias.evaluation.accuracy import accuracy, predict
from bgbias.methods import methods
from bgbias.metrics import IMAGES_PER_SECOND
from bgbias.models.compact_cnn import CompactCnn
from bgbias.randomness import stream
from bgbias.training import Trainer, Training
from study.space import load_space, space_names

CPU = torch.device("cpu")
EXTRA = {
    "gradient_penalty": [
        {"form": "plain"},
        {"form": "log_probability"},
        {"form": "aggregated", "smoothing": 2, "dilation": 1, "dimming": 0.5},
    ],
    "flow_embedding": [
        {"family": "masked_autoregressive", "width": 8, "swaps": 1, "own_weight": 0.9},
        {"family": "spline_coupling", "depth": 2, "swaps": 2, "vote": "mean_probability", "max_samples": 4},
        {"vote": "reproduced", "swaps": 1},
    ],
}
"""Settings, beside the defaults, under which a method takes another path."""

CASES = [(name, fields) for name in methods for fields in [{}, *EXTRA.get(name, [])]]
every_case = pytest.mark.parametrize(
    ("name", "fields"), CASES, ids=["-".join([name, *map(str, fields.values())]) for name, fields in CASES]
)
every_method = pytest.mark.parametrize("method", methods.values(), ids=methods)


@pytest.fixture(scope="module")
def digits(load):
    return load("colored-digits")


@pytest.fixture(scope="module")
def few(digits):
    """The same dataset with 130 training examples."""
    front = digits.train.foregrounds
    shown = dataclasses.replace(
        front, image=front.image[:130], mask=front.mask[:130], label=front.label[:130], source=front.source[:130]
    )
    return dataclasses.replace(digits, train=Variant(shown, digits.train.backgrounds, digits.train.assignment[:130]))


def trainer(name, fields, dataset, seed=0, **training):
    method = methods.find(name)(**fields)
    settings = Training(**{"epochs": 3, "batch_size": 32, "schedule": "cosine", **training})
    return Trainer(method, CompactCnn(), dataset, settings, seed, CPU)


def epoch(run):
    """One epoch's metrics but for the clock's."""
    metrics = {**run.train_epoch(), **run.calibrate()}
    return {name: value for name, value in metrics.items() if name != IMAGES_PER_SECOND}


def assert_same(run, other):
    """To the bit: weights, optimiser and epoch."""
    torch.testing.assert_close(run.module.state_dict(), other.module.state_dict(), rtol=0, atol=0)
    state, expected = run.state(), other.state()
    assert state["epoch"] == expected["epoch"]
    assert state["optimizer"]["param_groups"] == expected["optimizer"]["param_groups"]
    torch.testing.assert_close(state["optimizer"]["state"], expected["optimizer"]["state"], rtol=0, atol=0)


@every_case
def test_it_learns(name, fields, digits):
    run = trainer(name, fields, digits, learning_rate=3e-3)
    losses = [epoch(run)["train/loss/cross_entropy"] for _ in range(3)]
    assert losses[2] < 0.5 * losses[0]
    found = predict(run.method, run.module, run.dataset.validation["original"])
    assert accuracy(found) > 0.7


@every_case
def test_it_repeats_from_its_seed_and_differs_with_another(name, fields, few):
    run, again, other = (trainer(name, fields, few, seed) for seed in (0, 0, 1))
    pairs = zip(run.module.parameters(), other.module.parameters(), strict=True)
    drawn = [(one, another) for one, another in pairs if one.min() < one.max()]
    assert drawn
    assert not any(torch.equal(one, another) for one, another in drawn)
    metrics = epoch(run)
    torch.manual_seed(999)
    assert epoch(again) == metrics
    assert_same(again, run)
    assert epoch(other) != metrics


@every_case
def test_stopping_and_resuming_equals_never_stopping(name, fields, few):
    straight = trainer(name, fields, few, epochs=2)
    stopped = trainer(name, fields, few, epochs=2)
    assert epoch(stopped) == epoch(straight)
    kept = io.BytesIO()
    torch.save((stopped.module.state_dict(), stopped.state()), kept)
    kept.seek(0)
    torch.manual_seed(999)
    resumed = trainer(name, fields, few, epochs=2)
    resumed.load_state(*torch.load(kept, weights_only=True))
    assert epoch(resumed) == epoch(straight)
    assert_same(resumed, straight)


@every_case
def test_its_loss_is_finite_named_terms_whose_gradients_reach_every_parameter(name, fields, few):
    run = trainer(name, fields, few)
    terms = run.method.loss(run.module, run.batch(torch.arange(64), stream(0, "draws")), stream(0, "draws"))
    for term, value in terms.items():
        assert value.shape == (), term
        assert value.isfinite(), term
    sum(terms.values()).backward()
    learning = {name: value for name, value in run.module.named_parameters() if value.requires_grad}
    assert learning
    for parameter_name, parameter in learning.items():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name


@every_case
def test_it_predicts_finite_logits(name, fields, few):
    run = trainer(name, fields, few)
    logits = run.method.predict(run.module.eval(), few.train.batch(torch.arange(7)).image)
    assert logits.shape == (7, 10)
    assert logits.isfinite().all()


def tensors_of(dataset):
    variants = [dataset.train, *dataset.validation.values(), *dataset.test.values()]
    parts = [part for variant in variants for part in (variant.foregrounds, variant.backgrounds)]
    fields = [getattr(part, field.name) for part in parts for field in dataclasses.fields(part)]
    return [tensor.clone() for tensor in [*fields, *(variant.assignment for variant in variants)]]


@every_case
def test_it_changes_nothing_it_was_handed(name, fields, few):
    method = methods.find(name)(**fields)
    before = tensors_of(few)
    prepared = method.prepare(few, stream(0, "prepare"))
    module = method.build(CompactCnn().build(few.image_shape, 10))
    train = method.encode(module, prepared, stream(0, "encode")).train
    assigned = train.assignment[:40]
    assigned_before = assigned.clone()
    handed = train.batch(torch.arange(40), method.assign(assigned, train.backgrounds, stream(0, "draws")))
    assert torch.equal(assigned, assigned_before)
    handed_before = [getattr(handed, field.name).clone() for field in dataclasses.fields(handed)]
    augmented = method.augment(handed, stream(0, "draws"))
    sum(method.loss(module, augmented, stream(0, "draws")).values()).backward()
    for was, field in zip(handed_before, dataclasses.fields(handed), strict=True):
        assert torch.equal(getattr(handed, field.name), was), field.name
    assert not handed.image.requires_grad
    assert not augmented.image.requires_grad
    assert all(torch.equal(was, now) for was, now in zip(before, tensors_of(few), strict=True))


@every_method
def test_its_fields_are_frozen(method):
    instance = method()
    for name in [field.name for field in dataclasses.fields(method)] or ["anything"]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(instance, name, getattr(instance, name, 0))


@every_method
def test_it_names_its_source(method):
    assert "Source" in inspect.cleandoc(method.__doc__)


@every_method
def test_each_of_its_fields_is_explained(method):
    for field in dataclasses.fields(method):
        assert f"{field.name}:" in method.__doc__


@every_method
def test_it_has_a_search_space(method):
    assert method in [load_space(name).method for name in space_names()]
