import json
from pathlib import Path

import pytest

from bgbias.config import RunConfig
from bgbias.data.datasets import datasets
from bgbias.errors import SettingError, UnknownNameError
from bgbias.methods import methods
from bgbias.models import models

LEAST = {"dataset/name": "colored-digits", "method/name": "gradient_penalty"}


@pytest.mark.parametrize("model", models)
@pytest.mark.parametrize("method", methods)
@pytest.mark.parametrize("dataset", datasets)
def test_the_flat_form_survives_json_and_gives_the_same_run(dataset, method, model):
    given = {"dataset/name": dataset, "method/name": method, "model/name": model}
    config = RunConfig.from_flat({**given, "training/epochs": 7, "seed": 3, "data": "some/folder"})
    flat = config.to_flat()
    assert given.items() <= flat.items()
    assert RunConfig.from_flat(flat) == config
    assert RunConfig.from_flat(json.loads(json.dumps(flat))) == config


def test_what_is_left_out_takes_its_default():
    config = RunConfig.from_flat(LEAST)
    assert config.model.name() == "compact_cnn"
    assert (config.seed, config.data) == (0, None)
    assert config.training.epochs == 10


def test_the_flat_form_is_complete():
    assert set(RunConfig.from_flat(LEAST).to_flat()) == {
        *("dataset/name", "dataset/bias_strength", "dataset/palette", "dataset/last_class", "dataset/split_seed"),
        *("method/name", "method/form", "method/weight", "method/dilation", "method/smoothing", "method/lit_only"),
        *("method/dimming", "training/shuffle"),
        *("model/name", "seed", "data"),
        *("training/epochs", "training/batch_size", "training/optimizer"),
        *("training/learning_rate", "training/schedule", "training/weight_decay"),
        *("training/body_rate", "training/batch_norm", "training/feature_views", "training/feature_swaps"),
        *("training/precision", "training/channels_last", "training/compile", "training/cuda_graphs"),
        *("evaluation/every", "evaluation/test", "evaluation/also", "evaluation/precision"),
        "evaluation/backgrounds",
    }


def test_strings_from_a_command_line_are_read():
    typed = {"method/weight": "0.1", "method/dilation": "3", "training/learning_rate": "1e-3", "seed": "12"}
    config = RunConfig.from_flat({**LEAST, **typed, "data": "some/folder"})
    assert (config.method.weight, config.method.dilation) == (0.1, 3)
    assert isinstance(config.method.dilation, int)
    assert (config.training.learning_rate, config.seed, config.data) == (0.001, 12, Path("some/folder"))


@pytest.mark.parametrize("seed", [-1, "-1", 1.5, "first", None, True, ""])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(SettingError, match=r"^seed must be a whole number >= 0, but got .+$"):
        RunConfig.from_flat({**LEAST, "seed": seed})


@pytest.mark.parametrize("key", ["epochs", "optimizer/lr", "method", "method/"])
def test_a_key_of_no_section_is_answered_with_the_sections(key):
    with pytest.raises(SettingError, match=f"unknown setting '{key}'.*dataset, method, model, training"):
        RunConfig.from_flat({**LEAST, key: 1})


@pytest.mark.parametrize(
    ("key", "valid"),
    [
        ("method/wieght", "form, weight, dilation, smoothing, lit_only, dimming"),
        ("dataset/color", "bias_strength, palette, last_class, split_seed"),
        (
            "training/lr",
            "epochs, batch_size, shuffle, optimizer, learning_rate, schedule, body_rate, batch_norm, feature_views, "
            "feature_swaps, weight_decay, precision, channels_last, compile, cuda_graphs",
        ),
    ],
)
def test_an_unknown_field_is_answered_with_those_of_its_section(key, valid):
    section, field = key.split("/")
    with pytest.raises(SettingError, match=f"^{section} has no field '{field}': choose one of {valid}$"):
        RunConfig.from_flat({**LEAST, key: 1})


def test_an_unknown_field_of_a_section_without_fields():
    with pytest.raises(SettingError, match=r"^model has no field 'depth': it has none, leave it out$"):
        RunConfig.from_flat({**LEAST, "model/depth": 1})


@pytest.mark.parametrize("section", ["dataset", "method"])
def test_dataset_and_method_must_be_named(section):
    with pytest.raises(UnknownNameError, match=f"unknown {section} ''"):
        RunConfig.from_flat({key: value for key, value in LEAST.items() if key != f"{section}/name"})
