"""`study saliency` on small checkpoints: what it prints, what it draws, and what it refuses."""

import dataclasses
import json

import pytest
import torch
from made_learners import black_backgrounds, foregrounds_of
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import get_model

from bgbias.config import RunConfig
from bgbias.data.dataset import Variant
from bgbias.evaluation import saliency
from study.inspect.saliency import class_by_class, same_objects
from study.training import single

KINDS = {"input_gradient", "integrated_gradients"}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """By method, one trained for an epoch with saliency over 30 images among its metrics."""
    folder, found = tmp_path_factory.mktemp("trained"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saliency, "IMAGES", 30)
        for method in ("erm", "gradient_penalty"):
            flat = {"dataset/name": "colored-digits", "method/name": method, "training/epochs": 1}
            config = RunConfig.from_flat({**flat, "evaluation/also": "saliency"})
            found[method], _ = single.train(config, "cpu", folder / method)
    return found


def test_one_checkpoint_as_json_and_as_a_picture(study, checkpoints, tmp_path):
    out = tmp_path / "new" / "saliency.png"
    code, printed, told = study("saliency", checkpoints["erm"], "--out", out, "--count", 30, "--json")
    assert (code, told) == (0, "")
    found = json.loads(printed)
    assert found.keys() == {"dataset", "picture", "checkpoint", "method", "variants"}
    assert (found["dataset"], found["method"]) == ("colored-digits", "erm")
    assert (found["checkpoint"], found["picture"]) == (str(checkpoints["erm"]), str(out))
    assert list(found["variants"]) == ["original", "shuffled", "removed"]
    metrics = json.loads((checkpoints["erm"] / "config.json").read_text())["metrics"]
    areas = {shown["mask_area"] for shown in found["variants"].values()}
    assert len(areas) == 1
    assert 0.1 < areas.pop() < 0.5
    for name, shown in found["variants"].items():
        assert shown["images"] == 30
        assert shown["object_saliency"].keys() == KINDS
        assert shown["object_saliency"]["input_gradient"] == metrics[f"test/{name}/object_saliency"]
        assert 0 < shown["object_saliency"]["integrated_gradients"] <= 1
    assert found["variants"]["removed"]["object_saliency"]["integrated_gradients"] == pytest.approx(1)
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert len(picture.getcolors(1 << 20)) > 100


def test_another_checkpoint_stands_beside_it(study, checkpoints, tmp_path):
    shared = ("--count", 5, "--drawn", 1, "--json")
    options = ("--against", checkpoints["erm"], "--out", tmp_path / "both.png", *shared)
    code, printed, told = study("saliency", checkpoints["gradient_penalty"], *options)
    assert code == 0, told
    both = json.loads(printed)
    assert (both["method"], both["against"]["method"]) == ("gradient_penalty", "erm")
    _, printed, _ = study("saliency", checkpoints["erm"], "--out", tmp_path / "one.png", *shared)
    alone = json.loads(printed)
    assert both["against"] == {key: alone[key] for key in ("checkpoint", "method", "variants")}
    assert both["variants"] != alone["variants"]
    assert {shown["images"] for shown in both["variants"].values()} == {5}
    with Image.open(tmp_path / "both.png") as wide, Image.open(tmp_path / "one.png") as narrow:
        assert wide.width > narrow.width


def test_in_words(study, checkpoints, tmp_path):
    options = ("--against", checkpoints["erm"], "--out", tmp_path / "x.png", "--count", 5, "--drawn", 1)
    code, printed, _ = study("saliency", checkpoints["gradient_penalty"], *options)
    assert code == 0
    rows = [line for line in printed.splitlines() if "shuffled" in line]
    assert ["gradient_penalty" in row for row in rows] == [True, False]
    assert "erm" in rows[1]
    assert "share of saliency on the object" in printed
    assert f"wrote {tmp_path / 'x.png'}" in printed


def test_another_dataset_of_the_same_shape(study, checkpoints, mnist_folder, tmp_path):
    options = (
        "--dataset",
        "colored-mnist",
        "--data",
        mnist_folder,
        "--out",
        tmp_path / "x.png",
        "--count",
        5,
        "--drawn",
        1,
    )
    code, printed, told = study("saliency", checkpoints["erm"], *options, "--json")
    assert code == 0, told
    assert json.loads(printed)["dataset"] == "colored-mnist"


def test_photographs(study, photographs_folder, tmp_path):
    weights = get_model("squeezenet1_1", num_classes=3).state_dict()
    save_file(weights, tmp_path / "weights.safetensors")
    chosen = ("dataset/size=32", "model/architecture=squeezenet1_1", f"model/weights={tmp_path}/weights.safetensors")
    settings = [word for setting in chosen for word in ("--set", setting)]
    code, _, told = study("adopt", "--data", photographs_folder, *settings, "--output", tmp_path / "made")
    assert code == 0, told
    code, printed, told = study(
        "saliency", tmp_path / "made", "--out", tmp_path / "x.png", "--count", 3, "--drawn", 1, "--json"
    )
    assert code == 0, told
    found = json.loads(printed)["variants"]
    assert {shown["images"] for shown in found.values()} == {3}
    assert {"original", "mixed_rand", "only_fg"} <= found.keys()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--count", 0), "--count"),
        (("--drawn", 0), "--drawn"),
        (("--against", "nowhere"), "no checkpoint at nowhere"),
        (("--dataset", "one-pixel-digits"), "choose a dataset of the same shape"),
        (("--device", "tpu"), "device must be auto, cpu, cuda or cuda:<number>, but got 'tpu'"),
    ],
)
def test_wrong_input_ends_with_exit_code_2_and_one_line(study, checkpoints, tmp_path, more, told):
    code, out, err = study("saliency", checkpoints["erm"], "--out", tmp_path / "new" / "x.png", *more)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert list(tmp_path.iterdir()) == []


def test_no_checkpoint_and_no_picture_are_told(study, checkpoints, tmp_path):
    code, _, err = study("saliency", tmp_path, "--out", tmp_path / "x.png")
    assert (code, err.count("\n")) == (2, 1)
    assert "no checkpoint at" in err
    code, _, err = study("saliency", checkpoints["erm"])
    assert code == 2
    assert "--out" in err


def test_a_checkpoint_of_another_dataset_is_not_compared(study, checkpoints, tmp_path):
    train = (
        "train",
        "erm",
        "--epochs",
        1,
        "--set",
        "dataset/palette=separated",
        "--output",
        tmp_path / "run",
        "--json",
    )
    _, printed, _ = study(*train)
    other = json.loads(printed)["checkpoint"]
    code, out, err = study("saliency", checkpoints["erm"], "--against", other, "--out", tmp_path / "x.png")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "both checkpoints must be of the same dataset" in err
    assert "palette=reproduced" in err
    assert "palette=separated" in err
    assert not (tmp_path / "x.png").exists()


def variant(source, label):
    front = foregrounds_of(torch.zeros(len(source), 1, 1, 1), torch.tensor(label))
    front = dataclasses.replace(front, source=torch.tensor(source))
    return Variant(front, black_backgrounds(2), torch.zeros(len(source), dtype=torch.int64))


def test_the_same_objects_are_found_in_every_variant():
    first, second = variant([7, 5, 9, 4], [0, 0, 1, 1]), variant([4, 9, 5], [1, 1, 0])
    assert [index.tolist() for index in same_objects([first, second], 2)] == [[1, 2], [2, 1]]
    assert [index.tolist() for index in same_objects([first, second], 9)] == [[1, 2, 3], [2, 1, 0]]


def test_classes_take_turns():
    assert class_by_class(torch.tensor([1, 1, 0, 2, 0])).tolist() == [2, 0, 3, 4, 1]
