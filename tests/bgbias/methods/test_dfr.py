import warnings

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from bgbias.errors import DataError, SettingError
from bgbias.methods.balanced import balanced_draw
from bgbias.methods.dfr import (
    PASSES,
    TOLERANCE,
    Dfr,
    check_classes,
    chosen_strength,
    fit,
    head_of,
    mean_fit,
    statistics,
)
from bgbias.methods.frozen import with_features
from bgbias.models.compact_cnn import CompactCnn
from bgbias.optimization import Training
from bgbias.randomness import stream
from bgbias.training import Trainer

CPU = torch.device("cpu")


def made_features(classes, n=90, width=6, seed=0):
    """Features of n examples, one of whose columns is the class and another the place; place follows class."""
    rng = stream(seed, "features")
    label = torch.arange(n) % classes
    place = torch.where(torch.rand(n, generator=rng) < 0.8, label, (label + 1) % classes)
    features = torch.randn(n, width, generator=rng)
    features[:, 0] += 2 * label
    features[:, 1] += 3 * place
    return features, label, label * classes + place


def by_scikit_learn(features, label, group, c, draws, generator):
    """Compute the method's predictions with scikit-learn alone: predictions of the mean of the fits."""
    found = []
    for _ in range(draws):
        drawn = balanced_draw(group, generator)
        seed = int(torch.randint(1 << 31, (), generator=generator))
        solver = "liblinear" if len(label.unique()) == 2 else "saga"
        made = LogisticRegression(C=c, l1_ratio=1.0, solver=solver, max_iter=PASSES, tol=TOLERANCE, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.append(made.fit(features[drawn].numpy(), label[drawn].numpy()))
    last = found[-1]
    last.coef_ = sum(one.coef_ for one in found) / draws
    last.intercept_ = sum(one.intercept_ for one in found) / draws
    return torch.from_numpy(last.predict_proba(features.numpy())).float()


@pytest.mark.parametrize("classes", [2, 3])
def test_the_mean_head_agrees_with_scikit_learn(classes):
    features, label, group = made_features(classes)
    weight, bias = mean_fit(features, label, group, 0.7, 4, stream(1, "draws"))
    assert weight.shape == (classes, 6)
    expected = by_scikit_learn(features, label, group, 0.7, 4, stream(1, "draws"))
    torch.testing.assert_close((features @ weight.T + bias).softmax(dim=1), expected, rtol=1e-4, atol=1e-5)


def test_a_strong_penalty_leaves_out_the_weak_features():
    features, label, group = made_features(2, n=400)
    drawn = balanced_draw(group, stream(0, "draw"))
    weight, _ = head_of(fit(features[drawn], label[drawn], 0.05, stream(0, "fit")))
    assert not weight[1, 2:].any()
    assert weight[1, 0] > 10 * weight[1, 1].abs()


def test_statistics_are_those_of_the_standard_scaler():
    features = torch.randn(50, 3, generator=stream(0, "features")) * torch.tensor([1.0, 20.0, 0.0]) + 5
    mean, deviation = statistics(features)
    scaler = StandardScaler().fit(features.double().numpy())
    torch.testing.assert_close(mean.double(), torch.from_numpy(scaler.mean_))
    torch.testing.assert_close(deviation.double(), torch.from_numpy(scaler.scale_))


def test_the_strength_is_the_one_that_is_best_on_the_third():
    features, label, group = made_features(2, n=120)
    quality = {}
    order = torch.randperm(120, generator=stream(2, "choice"))
    third, rest = order[:40], order[40:]
    generator = stream(2, "choice")
    torch.randperm(120, generator=generator)
    drawn = rest[balanced_draw(group[rest], generator)]
    for c in (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01):
        made = fit(features[drawn], label[drawn], c, generator)
        right = torch.from_numpy(made.predict(features[third].numpy())) == label[third]
        groups = [right[group[third] == number].double().mean().item() for number in group[third].unique()]
        quality[c] = (min(groups), sum(groups) / len(groups))
    assert len(set(quality.values())) > 1
    assert chosen_strength(features, label, group, stream(2, "choice")) == max(quality, key=quality.get)


def test_the_head_of_a_run_predicts_as_the_fit_on_standardised_features(load):
    digits = load("colored-digits", bias_strength=0.9).head(120)
    method = Dfr(backbone=None, draws=1)
    run = Trainer(method, CompactCnn(), digits, Training(epochs=9), 0, CPU)
    assert run.epochs == 1
    run.train_epoch()
    c = run.notes().values["c"]
    seen = with_features(run.learner.classifier, run.dataset)
    scaler = StandardScaler().fit(seen.body_train.features.double().numpy())
    assert len(seen.body_train) == 120
    rng = stream(0, "enter", 0)
    phi, label, group = scaler.transform(seen.train.features), seen.train.foregrounds.label, seen.train.group
    phi = torch.from_numpy(phi).float()
    assert chosen_strength(phi, label, group, rng) == pytest.approx(c)
    expected = by_scikit_learn(phi, label, group, c, 1, rng)
    found = run.learner(seen.train.features).softmax(dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)


def test_a_missing_class_is_refused_with_the_way_out():
    with pytest.raises(
        DataError,
        match=r"^dfr fits its head on examples of every class, but the 3 held out have none of 'b': "
        "raise method/held_out or change method/data$",
    ):
        check_classes(torch.tensor([0, 2, 0]), ("a", "b", "c"))


def test_two_thirds_of_a_single_class_are_refused():
    label = torch.tensor([0, 0, 0, 0, 0, 1])
    features, refused = torch.randn(6, 3, generator=stream(0, "features")), 0
    for seed in range(12):
        generator = stream(seed, "choice")
        lacks = 5 in torch.randperm(6, generator=stream(seed, "choice"))[:2]
        if lacks:
            with pytest.raises(
                DataError, match="dfr chooses C by fits to 4 of the held-out examples, which have a single class"
            ):
                chosen_strength(features, label, label, generator)
        refused += lacks
    assert 0 < refused < 12


def test_a_head_of_other_outputs_is_refused(load):
    task = load("colored-digits").task
    classifier = CompactCnn().build(task)
    classifier.head = torch.nn.Linear(432, 1000)
    with pytest.raises(SettingError, match=r"^dfr needs one output for each of the 10 classes, but the model has 1000"):
        Dfr().build(task, classifier)
