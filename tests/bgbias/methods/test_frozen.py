import dataclasses

import pytest
import torch

from bgbias.evaluation.accuracy import predict
from bgbias.methods import methods
from bgbias.methods.frozen import encoder_of, with_features
from bgbias.models.compact_cnn import CompactCnn
from bgbias.optimization import Training
from bgbias.randomness import stream
from bgbias.training import Trainer, make_classifier

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photographs(load):
    return load("imagenet9", size=32)


def run(name, dataset, **training):
    settings = Training(epochs=2, batch_size=16, body_rate=0.0, feature_swaps=2, **training)
    found = Trainer(methods.find(name)(), CompactCnn(), dataset, settings, 0, CPU)
    for _ in range(found.epochs):
        found.train_epoch()
    return found


@pytest.mark.parametrize("name", ["erm", "worst_of_k", "dynamic_replacement+group_dro"])
def test_features_from_the_disk_teach_to_the_bit_what_fresh_ones_do(photographs, tmp_path, name):
    in_memory = run(name, dataclasses.replace(photographs, home=None), feature_views=2)
    first, again = (run(name, dataclasses.replace(photographs, home=tmp_path), feature_views=2) for _ in range(2))
    for other in (first, again):
        torch.testing.assert_close(other.learner.state_dict(), in_memory.learner.state_dict(), rtol=0, atol=0)
    files = list(tmp_path.rglob("*.npy"))
    banks = 1 if name == "erm" else 2  # views, and swaps
    assert len(files) == 1 + len(photographs.validation) + len(photographs.test) + banks


def test_predictions_from_features_are_those_from_pictures(photographs):
    found = run("erm", photographs)
    for name, variant in photographs.test.items():
        seen, pictures = (predict(found.method, found.learner, part) for part in (found.view.test[name], variant))
        torch.testing.assert_close(seen.logits, pictures.logits)


def test_a_method_that_needs_pixels_has_pictures_and_so_has_one_that_wants_new_views(photographs):
    assert run("background_noise", photographs).batch(torch.arange(3), stream(0, "draws")).image.ndim == 4
    assert run("erm", photographs, feature_views=0).batch(torch.arange(3), stream(0, "draws")).image.ndim == 4
    assert run("erm", photographs).batch(torch.arange(3), stream(0, "draws")).image.ndim == 2


def test_a_last_layer_keeps_the_features_that_are_there(photographs):
    found = methods.find("cb_last_layer+dynamic_replacement")(backbone=None, data="train", p=1.0)
    settings = Training(epochs=1, batch_size=16, body_rate=0.0, feature_swaps=1)
    trainer = Trainer(found, CompactCnn(), photographs, settings, 0, CPU)
    trainer.train_epoch()
    assert trainer.batch(torch.arange(5), stream(0, "draws")).image.ndim == 2
    assert with_features(trainer.learner.classifier, trainer.view) is trainer.view


def test_other_weights_are_another_body(photographs):
    one, other = (make_classifier(CompactCnn(), photographs, seed, pretrained=True) for seed in (0, 1))
    again = make_classifier(CompactCnn(), photographs, 0, pretrained=True)
    assert encoder_of(one, photographs).identity == encoder_of(again, photographs).identity
    assert encoder_of(one, photographs).identity != encoder_of(other, photographs).identity
    assert not one.training
