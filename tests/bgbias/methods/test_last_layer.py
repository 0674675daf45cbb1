import pytest
import torch

from bgbias.config import RunConfig
from bgbias.data.dataset import held_out
from bgbias.errors import DataError, SettingError
from bgbias.methods import methods
from bgbias.methods.afr import Afr
from bgbias.methods.cb_last_layer import CbLastLayer
from bgbias.methods.dfr import Dfr
from bgbias.methods.frozen import with_features
from bgbias.methods.last_layer import LastLayer
from bgbias.methods.method import Stage
from bgbias.models.compact_cnn import CompactCnn
from bgbias.optimization import Training
from bgbias.pretraining import pretrained_weights
from bgbias.randomness import stream
from bgbias.training import Trainer, make_learner

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits(load):
    return load("colored-digits", bias_strength=0.9).head(120)


def prepared(dataset, kind=CbLastLayer, **fields):
    return kind(**fields).prepare(dataset, stream(0, "prepare"))


def trainer(dataset, name="cb_last_layer", weights=None, **fields):
    method = methods.find(name)(**fields)
    return Trainer(method, CompactCnn(), dataset, Training(epochs=2, batch_size=16), 0, CPU, weights)


def sources(variant):
    return set(variant.foregrounds.source.tolist())


def test_the_base_is_no_method_of_its_own():
    assert "last_layer" not in methods
    assert issubclass(methods["dfr"], LastLayer)


def test_the_body_is_a_stage_of_another_method_that_does_not_see_what_is_held_out():
    assert CbLastLayer(data="train", held_out=0.25, backbone_epochs=7).stages(5) == [
        Stage(7, by="erm", held_out=0.25),
        Stage(5),
    ]
    assert CbLastLayer(backbone_epochs=7).stages(5) == [Stage(7, by="erm"), Stage(5)]
    assert CbLastLayer(backbone=None).stages(5) == [Stage(5)]


def test_a_variant_of_which_no_validation_picture_is_left_is_refused(digits):
    with pytest.raises(DataError, match="takes all validation pictures of variant 'original', and none is left"):
        trainer(digits.head(1), held_out=0.9)


def test_what_fits_the_head_is_taken_out_of_every_validation_variant(digits):
    found = prepared(digits)
    for name, variant in digits.validation.items():
        assert sources(found.validation[name]) | sources(found.train) == sources(variant)
        assert not sources(found.validation[name]) & sources(found.train)
    assert len(found.train) == 40
    assert found.body_train is digits.train
    assert found.test is digits.test
    assert torch.equal(found.training_groups, digits.training_groups)


@pytest.mark.parametrize(("kind", "variant"), [(CbLastLayer, "original"), (Afr, "original"), (Dfr, "shuffled")])
def test_pictures_as_collected_fit_the_head_and_for_dfr_those_with_the_most_groups(digits, kind, variant):
    found, expected = prepared(digits, kind, data="validation", held_out=1 / 3), digits.validation[variant]
    rows = held_out(expected.foregrounds.source, 1 / 3).nonzero()[:, 0]
    assert torch.equal(found.train.assignment, expected.assignment[rows])


def test_training_pictures_are_divided_between_body_and_head(digits):
    found = prepared(digits, data="train", held_out=0.25)
    assert (len(found.train), len(found.body_train)) == (30, 90)
    assert not sources(found.train) & sources(found.body_train)
    assert found.validation is digits.validation


def test_a_body_is_trained_on_its_own_part_alone(digits):
    settings = {"dataset/name": "colored-digits", "method/data": "train", "method/backbone_epochs": 1}
    config = RunConfig.from_flat({**settings, "method/name": "cb_last_layer", "method/held_out": 0.25})
    weights = pretrained_weights(config, digits, CPU, config.method.stages(1)[0])
    part = digits.train.at((~held_out(digits.train.foregrounds.source, 0.25)).nonzero()[:, 0])
    alone = Trainer(
        methods["erm"](), CompactCnn(), type(digits)(**{**vars(digits), "train": part}), Training(epochs=1), 0, CPU
    )
    alone.train_epoch()
    torch.testing.assert_close(dict(weights), dict(alone.learner.classifier.state_dict()), rtol=0, atol=0)


def test_a_dataset_without_validation_stays_as_it_is(digits):
    alone = type(digits)(**{**vars(digits), "validation": {}})
    assert prepared(alone) is alone


def test_features_are_computed_once_until_the_body_changes(digits):
    learner = make_learner(CbLastLayer(), CompactCnn(), digits, seed=0)
    first = with_features(learner.classifier, digits)
    assert with_features(learner.classifier, digits) is first
    expected = learner.classifier.features(digits.train.batch(torch.arange(120)).image)
    torch.testing.assert_close(first.train.features, expected)
    with torch.no_grad():
        next(learner.classifier.body.parameters()).mul_(0.5)
    again = with_features(learner.classifier, digits)
    assert again is not first
    assert not torch.equal(again.train.features, first.train.features)


def test_photographs_are_encoded_without_augmentation(load):
    photographs = load("imagenet9", size=32)
    learner = make_learner(CbLastLayer(), CompactCnn(), photographs, seed=0)
    found = with_features(learner.classifier, photographs)
    expected = learner.classifier.features(photographs.train.batch(torch.arange(5)).image)
    torch.testing.assert_close(found.train.features[:5], expected)


def test_the_head_is_given_features_and_the_body_stays_as_it_is(digits):
    run = trainer(digits, backbone=None)
    before = {name: value.clone() for name, value in run.learner.classifier.state_dict().items()}
    batch = run.batch(torch.arange(5), stream(0, "draws"))
    assert batch.image.shape == (5, run.learner.classifier.linear.in_features)
    run.train_epoch()
    after = run.learner.classifier.state_dict()
    assert {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])} == {"head"}


def test_on_redrawn_backgrounds_pictures_pass_the_body_in_evaluation_mode(digits):
    run = trainer(digits, "cb_last_layer+dynamic_replacement", backbone=None, p=1.0)
    assert run.view.train.features.shape == (40, 432)
    run.learner.train()
    batch = run.batch(torch.arange(20), stream(0, "draws"))
    assert batch.image.shape == (20, 3, 28, 28)
    assert not run.learner.classifier.body.training
    assert run.learner.classifier.head.training


def test_a_model_without_a_last_linear_layer_is_refused(digits):
    model = type("Headless", (CompactCnn,), {})()
    classifier = model.build(digits.task)
    classifier.head = torch.nn.Identity()
    with pytest.raises(SettingError, match="must end in a linear layer"):
        CbLastLayer().build(digits.task, classifier)
