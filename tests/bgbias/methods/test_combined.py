"""Combinations: which are refused, and in which order their methods prepare a dataset."""

import pytest
import torch

from bgbias.data.dataset import held_out
from bgbias.errors import SettingError
from bgbias.methods import methods
from bgbias.models.compact_cnn import CompactCnn
from bgbias.optimization import Training
from bgbias.randomness import stream
from bgbias.training import Trainer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits(load):
    return load("colored-digits", bias_strength=0.9)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("dynamic_replacement+worst_of_k", "dynamic_replacement and worst_of_k both have the field|both override"),
        ("dynamic_replacement+flow_embedding", "both override 'assign'"),
        ("afr+recombination", "afr trains on features, and recombination needs pictures"),
        ("act_diff+cb_last_layer", "cb_last_layer trains on features, and act_diff needs pictures"),
        (
            "dfr+dynamic_replacement",
            r"no training steps, and dynamic_replacement changes them \(by 'assign'\)",
        ),
        ("balanced+dfr", r"^dfr takes no training steps, and balanced changes them \(by 'weigh'\)"),
    ],
)
def test_pairs_of_which_one_would_do_nothing_are_refused(name, reason):
    with pytest.raises(SettingError, match=reason):
        methods.find(name)


def test_a_head_sees_no_picture_of_its_body_whatever_the_order_of_the_names(digits):
    unseen = digits.train.foregrounds.source[held_out(digits.train.foregrounds.source, 0.2)]
    for name in ("balanced+afr", "afr+balanced"):
        method = methods.find(name)(backbone=None, held_out=0.2, by="class", how="subsample")
        found = method.prepare(digits, stream(0, "prepare")).train.foregrounds.source
        assert len(found) > 100
        assert set(found.tolist()) <= set(unseen.tolist())


def test_weights_that_no_term_of_the_loss_takes_are_refused(digits):
    method = methods.find("balanced+flow_embedding")(backbone=None)
    trainer = Trainer(method, CompactCnn(), digits.head(60), Training(epochs=2, batch_size=16), 0, CPU)
    with pytest.raises(SettingError, match="weighs examples, but its loss has no term of each"):
        trainer.train_epoch()
