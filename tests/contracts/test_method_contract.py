"""Contract of every method, found by looking, with combinations and small methods of the field: it learns, repeats,
resumes and changes nothing it was given."""

import dataclasses
import inspect
import io

import pytest
import small_methods
import torch

from bgbias.config import RunConfig
from bgbias.evaluation.accuracy import accuracy, predict
from bgbias.methods import methods
from bgbias.methods.combined import overrides
from bgbias.methods.method import Method, logits_of
from bgbias.metrics import IMAGES_PER_SECOND
from bgbias.models.compact_cnn import CompactCnn
from bgbias.optimization import Training
from bgbias.pretraining import pretrained_weights
from bgbias.randomness import stream
from bgbias.training import Trainer, mean_of
from study.space import load_space, space_names

CPU = torch.device("cpu")
EXTRA = {
    "afr": [{"held_out": 0.5, "anchor": 1e-3, "gamma": 0.0}],
    "balanced": [{"by": "class"}, {"how": "subsample"}],
    "cb_last_layer": [{"data": "train"}],
    "dfr": [{"data": "train", "draws": 2}],
    "group_dro": [{"adjustment": 2.0}],
    "gradient_penalty": [
        {"form": "plain"},
        {"form": "reproduced"},
        {"form": "rrr"},
        {"form": "gradmask"},
        {"form": "log_probability"},
        {"form": "aggregated", "smoothing": 2, "dilation": 1, "dimming": 0.5},
    ],
    "background_matrix": [{"rule": "balancing"}],
    "clad": [{"positive_weight": 1.0, "queue": 3}],
    "counterfactual": [{"distance": "squared_logits"}],
    "learned_replacement": [{"rule": rule} for rule in ("heuristic", "cuda", "rising", "falling", "cosine")],
    "replaced_class_penalty": [{"form": "log_odds"}],
    "worst_of_k": [{"k": 2, "mix": 1.0, "otherwise": "random"}],
    "flow_embedding": [
        {"family": "masked_autoregressive", "width": 8, "swaps": 1, "own_weight": 0.9},
        {"family": "spline_coupling", "depth": 2, "swaps": 2, "vote": "mean_probability", "max_samples": 4},
        {"vote": "reproduced", "swaps": 1},
    ],
}
"""Settings, beside the defaults, under which a method takes another path."""

EPOCHS = {"afr": 60, "cb_last_layer": 60, "cb_last_layer+group_dro": 60, "clad": 18}
"""Methods that learn in more than 6 epochs: those of a last layer on few examples have few steps in each."""

SMALL = [
    item
    for item in vars(small_methods).values()
    if inspect.isclass(item) and issubclass(item, Method) and item.__module__ == small_methods.__name__
]
COMBINATIONS = [
    methods.find("dynamic_replacement+gradient_penalty"),
    methods.find("worst_of_k+counterfactual"),
    methods.find("group_dro+dynamic_replacement"),
    methods.find("cb_last_layer+group_dro"),
]
KINDS = {kind.name(): kind for kind in [*methods.values(), *SMALL, *COMBINATIONS]}
CASES = [(name, fields) for name in KINDS for fields in [{}, *EXTRA.get(name, [])]]
every_case = pytest.mark.parametrize(
    ("name", "fields"), CASES, ids=["-".join([name, *map(str, fields.values())]) for name, fields in CASES]
)
every_method = pytest.mark.parametrize("method", methods.values(), ids=methods)


@pytest.fixture(scope="module")
def digits(load):
    return load("colored-digits")


@pytest.fixture(scope="module")
def few(digits):
    """The same dataset with 130 examples of each variant."""
    return digits.head(130)


def trainer(name, fields, dataset, seed=0, device=CPU, **training):
    method = KINDS[name](**fields)
    settings = Training(**{"epochs": 3, "batch_size": 64, "schedule": "cosine", **training})
    fixed = {f"training/{field}": value for field, value in training.items()}
    config = RunConfig.from_flat({"dataset/name": dataset.name, "method/name": "erm", "seed": seed, **fixed})

    def weights(stage):
        short = dataclasses.replace(stage, epochs=min(2, stage.epochs))
        return pretrained_weights(config, dataset, device, short)

    return Trainer(method, CompactCnn(), dataset, settings, seed, device, weights)


def epoch(run):
    """One epoch's metrics but for the clock's, and the tables."""
    metrics = {name: value for name, value in run.train_epoch().items() if name != IMAGES_PER_SECOND}
    notes = run.notes()
    return {**metrics, **notes.values}, dict(notes.tables)


def assert_same(run, other):
    """To the bit: weights, optimisers and epoch."""
    torch.testing.assert_close(run.learner.state_dict(), other.learner.state_dict(), rtol=0, atol=0)
    state, expected = run.state(), other.state()
    assert state["epoch"] == expected["epoch"]
    assert len(state["optimizers"]) == len(expected["optimizers"])
    for mine, theirs in zip(state["optimizers"], expected["optimizers"], strict=True):
        assert mine["param_groups"] == theirs["param_groups"]
        torch.testing.assert_close(mine["state"], theirs["state"], rtol=0, atol=0)


@every_case
def test_it_learns(name, fields, digits):
    dataset, epochs = digits.head(700), EPOCHS.get(name, 6)
    run = trainer(name, fields, dataset, learning_rate=3e-3, epochs=epochs, batch_size=32)
    for _ in range(run.epochs):
        metrics, _ = epoch(run)
        assert all(torch.tensor(value).isfinite() for value in metrics.values())
    assert run.done
    found = predict(run.method, run.learner, next(iter(run.view.validation.values())))
    assert accuracy(found) > 0.6


@every_method
def test_on_a_frozen_body_the_rest_learns_from_features_alone(method, few):
    run = trainer(method.name(), {}, few, learning_rate=1e-2, epochs=2, body_rate=0.0, feature_swaps=1)
    body, head = ({n: v.clone() for n, v in part.state_dict().items()} for part in run.learner.classifier.children())
    for _ in range(run.epochs):
        metrics, _ = epoch(run)
        assert all(torch.tensor(value).isfinite() for value in metrics.values())
        assert not run.learner.classifier.body.training
    torch.testing.assert_close(run.learner.classifier.body.state_dict(), body, rtol=0, atol=0)
    learned = not torch.equal(run.learner.classifier.head.state_dict()["weight"], head["weight"])
    assert learned or any(parameter.grad is not None for parameter in run.learner.own.parameters())
    shown = run.batch(torch.arange(5), stream(0, "draws")).image
    pictures = method.needs_pixels and not overrides(method, "view")
    assert shown.ndim == 4 if pictures else shown.ndim < 4


@every_case
def test_it_repeats_from_its_seed_and_differs_with_another(name, fields, few):
    run, again, other = (trainer(name, fields, few, seed) for seed in (0, 0, 1))
    pairs = zip(run.learner.parameters(), other.learner.parameters(), strict=True)
    drawn = [(one, another) for one, another in pairs if one.min() < one.max()]
    assert drawn
    assert not any(torch.equal(one, another) for one, another in drawn)
    metrics = epoch(run)
    torch.manual_seed(999)
    assert epoch(again) == metrics
    assert_same(again, run)
    epoch(other)
    pairs = zip(run.learner.parameters(), other.learner.parameters(), strict=True)
    assert not all(torch.equal(one, another) for one, another in pairs)


@every_case
def test_stopping_after_any_epoch_and_resuming_equals_never_stopping(name, fields, few):
    straight = trainer(name, fields, few)
    expected = [epoch(straight) for _ in range(straight.epochs)]
    run, found = trainer(name, fields, few), []
    while not run.done:
        found.append(epoch(run))
        kept = io.BytesIO()
        torch.save((run.learner.state_dict(), run.state()), kept)
        kept.seek(0)
        torch.manual_seed(999)
        run = trainer(name, fields, few)
        run.load_state(*torch.load(kept, weights_only=True))
    assert found == expected
    assert_same(run, straight)


@every_case
def test_its_loss_is_finite_named_terms_whose_gradients_reach_the_learner(name, fields, few):
    run = trainer(name, fields, few)
    run.train_epoch()
    run = run if run.optimizers else trainer("erm", {}, few)
    batch = run.batch(torch.arange(min(64, len(run.view.train))), stream(0, "draws"))
    terms = run.method.loss(run.learner.train(), batch, stream(0, "draws"))
    weight = run.method.weigh(run.learner, batch, terms)
    assert terms
    for term, value in terms.items():
        assert value.shape in [(), (len(batch),)], term
        assert value.isfinite().all(), term
    assert weight is None or (weight.shape == (len(batch),) and (weight >= 0).all() and weight.sum() > 0)
    run.learner.zero_grad()
    sum(mean_of(term, weight) for term in terms.values()).backward()
    learning = {key: value for key, value in run.learner.named_parameters() if value.requires_grad}
    reached = {key for key, value in learning.items() if value.grad is not None and value.grad.any()}
    assert all(learning[key].grad.isfinite().all() for key in reached)
    assert reached


@every_case
def test_its_weights_are_saved_with_a_plain_classifier(name, fields, few):
    run = trainer(name, fields, few)
    classifier = {key for key in run.learner.state_dict() if key.startswith("classifier.")}
    assert classifier == {f"classifier.{key}" for key in CompactCnn().build(few.task).state_dict()}


@every_case
def test_it_predicts_finite_logits(name, fields, few):
    run = trainer(name, fields, few)
    logits = logits_of(run.method, run.learner.eval(), few.train.batch(torch.arange(7)).image)
    assert logits.shape == (7, 10)
    assert logits.isfinite().all()


def tensors_of(dataset):
    variants = [dataset.train, *dataset.validation.values(), *dataset.test.values()]
    parts = [part for variant in variants for part in (variant.foregrounds, variant.backgrounds)]
    fields = [getattr(part, field.name) for part in parts for field in dataclasses.fields(part)]
    fields += [variant.assignment for variant in variants]
    return [tensor.clone() for tensor in fields if isinstance(tensor, torch.Tensor)]


def copied(batch):
    fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return {name: value.clone() for name, value in fields.items() if isinstance(value, torch.Tensor)}


@every_case
def test_it_changes_nothing_it_was_given(name, fields, few):
    before = tensors_of(few)
    run = trainer(name, fields, few)
    run.train_epoch()
    method, learner, rng = run.method, run.learner, stream(0, "draws")
    examples = run.view.training_examples(torch.arange(min(40, len(run.view.train))), rng)
    given = copied(examples)
    composed = examples.on(method.assign(learner, examples, rng))
    assert all(torch.equal(getattr(examples, key), value) for key, value in given.items())
    given = copied(composed)
    augmented = method.augment(learner, composed, rng)
    method.loss(learner, augmented, rng)
    for key, value in given.items():
        assert torch.equal(getattr(composed, key), value), key
    assert not composed.image.requires_grad
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
    explained = "".join(kind.__doc__ or "" for kind in method.__mro__)
    for field in dataclasses.fields(method):
        assert f"{field.name}:" in explained


@every_method
def test_it_has_a_search_space(method):
    assert method in [load_space(name).method for name in space_names()]


def test_no_hook_has_a_single_user():
    hooks = [name for name, item in vars(Method).items() if callable(item) and not name.startswith("_")]
    users = {hook: [kind for kind in [*methods.values(), *SMALL] if overrides(kind, hook)] for hook in hooks}
    assert len(hooks) <= 13
    assert [hook for hook, found in users.items() if len(found) < 2] == []


@pytest.mark.parametrize("kind", SMALL)
def test_a_method_of_the_field_takes_one_class_of_at_most_sixty_lines(kind):
    assert len(inspect.getsource(kind).splitlines()) <= 60


@every_method
def test_its_docstring_says_what_it_is_given_beside_labels(method):
    assert method.supervision() or "Supervision: none" in inspect.getdoc(method)
    assert ("mask" in method.supervision()) >= method.needs_masks


def test_a_combination_is_given_what_its_methods_are():
    assert methods.find("group_dro+dynamic_replacement").supervision() == ("group", "mask", "background")
