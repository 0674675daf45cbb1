import pytest
import torch

from bgbias.errors import SettingError
from bgbias.methods.jtt import Jtt, wrong_examples
from bgbias.methods.method import Stage
from bgbias.models.compact_cnn import CompactCnn
from bgbias.optimization import Training
from bgbias.randomness import stream
from bgbias.training import Trainer, make_learner

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits(load):
    return load("colored-digits", bias_strength=0.9)


def trainer(digits, epochs=2, **fields):
    return Trainer(Jtt(**fields), CompactCnn(), digits, Training(epochs=epochs), 0, CPU)


def test_the_first_classifier_has_its_share_of_the_epochs():
    assert Jtt(identification=0.2).stages(10) == (Stage(2, evaluated=False), Stage(8, restart=True))
    assert Jtt(identification=0.01).stages(10) == (Stage(1, evaluated=False), Stage(9, restart=True))
    assert Jtt(identification=0.99).stages(10) == (Stage(9, evaluated=False), Stage(1, restart=True))


def test_a_single_epoch_is_too_few(digits):
    with pytest.raises(SettingError, match=r"^jtt needs at least one epoch for each of its 2 stages"):
        trainer(digits, epochs=1)


def test_the_errors_are_those_of_the_trained_first_classifier(digits):
    run = trainer(digits, identification=0.5, upweight=11.0)
    run.train_epoch()
    assert not run.evaluated
    wrong = wrong_examples(run.learner, digits.train)
    assert 0 < wrong.sum() < 0.8 * len(wrong)
    run.train_epoch()
    assert run.evaluated
    assert torch.equal(run.learner.own.value, wrong.float())
    assert run.notes().values == {"error_share": pytest.approx(wrong.double().mean().item())}
    weight = run.method.weigh(run.learner, digits.train.batch(torch.arange(len(wrong))), {})
    assert weight.mean().item() == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close(weight[wrong].min() / weight[~wrong].max(), torch.tensor(11.0))


def test_the_first_classifier_is_trained_by_erm(digits):
    run = trainer(digits)
    run.train_epoch()
    assert run.method.weigh(run.learner, digits.train.batch(torch.arange(3)), {}).tolist() == [1, 1, 1]


def test_an_empty_error_set_is_refused_with_the_way_out(digits):
    method, learner = Jtt(), make_learner(Jtt(), CompactCnn(), digits, seed=0)
    right = ~wrong_examples(learner, digits.train)
    known = type("Known", (), {"train": digits.train.at(right.nonzero()[:, 0])})
    with pytest.raises(
        SettingError,
        match=r"^jtt needs training images that its first classifier gets wrong, but it predicts all \d+ correctly: "
        "lower method/identification or training/learning_rate, or raise training/weight_decay$",
    ):
        method.enter(1, learner, known, stream(0, "enter"))
