import json

import pytest
import torch
from made_learners import task_of
from safetensors import safe_open
from safetensors.torch import load_file

from bgbias import checkpoint
from bgbias.config import RunConfig
from bgbias.errors import CheckpointError
from bgbias.evaluation.evaluator import Predictions
from bgbias.models.compact_cnn import CompactCnn
from bgbias.models.small_cnn import SmallCnn

CONFIG = RunConfig.from_flat(
    {"dataset/name": "colored-digits", "method/name": "gradient_penalty", "method/weight": 0.3}
)
CLASSES = tuple("0123456789")
METRICS = {"train/loss/cross_entropy": 0.1, "val/shuffled/accuracy": 2 / 3}


def built(model=CompactCnn, seed=0):
    torch.manual_seed(seed)
    return model().build(task_of())


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "runs" / "best"
    predicted = {
        "val/shuffled": Predictions(torch.tensor([1, 2, 3]), torch.tensor([1, 9, 3]), 0.5),
        "test/original": Predictions(torch.tensor([0, 300]), torch.tensor([0, 300]), 0.0),
    }
    checkpoint.save(folder, CONFIG, CLASSES, 4, METRICS, built(), predicted)
    return folder


def test_what_was_saved_is_loaded(saved):
    loaded = checkpoint.load(saved)
    assert (loaded.config, loaded.classes, loaded.epoch, loaded.metrics) == (CONFIG, CLASSES, 4, METRICS)
    torch.testing.assert_close(loaded.weights, dict(built().state_dict()), rtol=0, atol=0)
    assert checkpoint.read_description(saved) == {
        "format": 2,
        "classes": list(CLASSES),
        "config": CONFIG.to_flat(),
        "epoch": 4,
        "metrics": METRICS,
        "sha256": {},
    }


def test_restore_gives_the_same_answers(saved):
    image = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    other = built(seed=1)
    assert not torch.equal(other(image), built()(image))
    checkpoint.restore(other, checkpoint.load(saved))
    assert torch.equal(other(image), built()(image))


def test_the_predictions_file_holds_every_answer(saved):
    predicted = load_file(saved / "predictions.safetensors")
    assert {name: answer.tolist() for name, answer in predicted.items()} == {
        "val/shuffled": [1, 9, 3],
        "val/shuffled/label": [1, 2, 3],
        "test/original": [0, 300],
        "test/original/label": [0, 300],
    }
    assert {answer.dtype for answer in predicted.values()} == {torch.int16}


def test_the_predictions_file_names_the_classes(saved):
    with safe_open(saved / "predictions.safetensors", "pt") as found:
        assert json.loads(found.metadata()["classes"]) == list(CLASSES)


def test_the_right_answers_are_read_back(saved):
    assert checkpoint.read_right(saved, "val/shuffled").tolist() == [True, False, True]
    with pytest.raises(CheckpointError, match="does not hold test/nothing"):
        checkpoint.read_right(saved, "test/nothing")


def test_a_checkpoint_may_be_saved_over_an_older_one(saved):
    checkpoint.save(
        saved, CONFIG, CLASSES, 5, METRICS, built(seed=1), {"val/shuffled": Predictions(*[torch.zeros(1)] * 2, 0.0)}
    )
    loaded = checkpoint.load(saved)
    assert loaded.epoch == 5
    torch.testing.assert_close(loaded.weights, dict(built(seed=1).state_dict()), rtol=0, atol=0)


def one_line_error(call, *arguments):
    with pytest.raises(CheckpointError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_known_later_is_added(saved):
    before = checkpoint.load(saved)
    later = {"test/shuffled": Predictions(torch.tensor([1, 2]), torch.tensor([1, 1]), 0.5)}
    checkpoint.extend(saved, {"test/shuffled/accuracy": 0.5}, later)
    after = checkpoint.load(saved)
    assert after.metrics == {**METRICS, "test/shuffled/accuracy": 0.5}
    assert all(torch.equal(after.weights[name], weight) for name, weight in before.weights.items())
    kept = checkpoint.read_predictions(saved)
    assert kept.keys() == {"val/shuffled", "test/original", "test/shuffled"}
    assert kept["val/shuffled"].prediction.tolist() == [1, 9, 3]
    assert checkpoint.read_right(saved, "test/shuffled").tolist() == [True, False]


def test_nothing_is_added_to_damaged_predictions(saved):
    described, file = (saved / "config.json").read_text(), saved / "predictions.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"predictions\.safetensors"):
        checkpoint.extend(saved, {"test/shuffled/accuracy": 0.5}, {})
    assert (saved / "config.json").read_text() == described


def test_a_missing_folder_is_named(tmp_path):
    message = one_line_error(checkpoint.load, tmp_path / "nowhere")
    assert message == f"no checkpoint at {tmp_path / 'nowhere'}: give a folder that holds config.json"


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_weights_cut_short_are_named(saved, size):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    message = one_line_error(checkpoint.load, saved)
    assert message.startswith(f"{path} cannot be read")
    assert message.endswith("give a whole checkpoint")


def test_missing_weights_are_named(saved):
    (saved / "model.safetensors").unlink()
    assert str(saved / "model.safetensors") in one_line_error(checkpoint.load, saved)


@pytest.mark.parametrize("content", [b"", b'{"config": {', b"\xff\xfe\x00", b"not json"])
def test_a_damaged_description_is_named(saved, content):
    (saved / "config.json").write_bytes(content)
    message = one_line_error(checkpoint.load, saved)
    assert message.startswith(f"{saved / 'config.json'} cannot be read")


@pytest.mark.parametrize("content", ["[]", "3", '"config"', "null"])
def test_a_description_that_is_no_object_is_named(saved, content):
    path = saved / "config.json"
    path.write_text(content)
    assert one_line_error(checkpoint.load, saved).startswith(f"{path} lacks config, epoch or metrics")


def test_a_configuration_of_another_version_is_named(saved):
    path = saved / "config.json"
    described = json.loads(path.read_text())
    described["config"]["training/no_such_field"] = 1
    path.write_text(json.dumps(described))
    message = one_line_error(checkpoint.load, saved)
    assert message.startswith(f"{path} does not fit this version (training has no field 'no_such_field'")


@pytest.mark.parametrize("number", [1, 3, "2", None])
def test_a_checkpoint_of_another_format_is_named(saved, number):
    path = saved / "config.json"
    described = {**json.loads(path.read_text()), "format": number}
    if number == 1:
        del described["format"], described["classes"]
    path.write_text(json.dumps(described))
    for read in (checkpoint.load, checkpoint.read_description):
        assert one_line_error(read, saved) == (
            f"{saved} was written by another version (format {number}, this one reads 2): train again with this "
            "version, or use that one"
        )


def test_other_classes_are_refused_with_both_lists(tmp_path):
    checkpoint.check_classes(tmp_path, ("cat", "dog"), ["cat", "dog"], "the data")
    for classes, listed in (
        (("cat", "wolf"), "2 (cat, wolf)"),
        (("dog", "cat"), "2 (dog, cat)"),
        (("cat",), "1 (cat)"),
    ):
        message = one_line_error(checkpoint.check_classes, tmp_path, ("cat", "dog"), classes, "the data")
        assert f"{tmp_path} has 2 (cat, dog) and the data has {listed}: give data" in message


@pytest.mark.parametrize("key", ["config", "epoch", "metrics"])
def test_a_description_without_a_key_is_named(saved, key):
    path = saved / "config.json"
    described = json.loads(path.read_text())
    del described[key]
    path.write_text(json.dumps(described))
    message = one_line_error(checkpoint.load, saved)
    assert message == f"{path} lacks config, epoch or metrics: give a whole checkpoint"


def test_weights_of_another_model_do_not_fit(saved):
    message = one_line_error(checkpoint.restore, built(SmallCnn), checkpoint.load(saved))
    assert message.startswith("the weights do not fit")
