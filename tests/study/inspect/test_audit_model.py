"""Models of every kind, opened as one: each gives the scores of the same small network."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from bgbias.errors import DataError, SettingError, UnknownNameError
from study.inspect.audit_model import Called, FixedBatch, open_model

SIDE = 16


def network():
    """Mean colour to three scores."""
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)).eval()


@pytest.fixture
def images():
    return torch.rand(5, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def write_onnx(path, batch="n", outputs=1):
    """The network as an ONNX file, for a free or a fixed batch; more outputs repeat the scores."""
    linear = network()[2]
    names = [f"scores{number}" for number in range(outputs)]
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
    ]
    nodes += [helper.make_node("Gemm", ["flat", "weight", "bias"], [name], transB=1) for name in names]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 3]) for name in names],
        [numpy_helper.from_array(getattr(linear, name).detach().numpy(), name) for name in ("weight", "bias")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize("batch", ["n", 2])
def test_an_onnx_file_gives_the_networks_scores(tmp_path, images, batch):
    opened = open_model(str(write_onnx(tmp_path / "net.onnx", batch)), None, "none", None)
    assert (opened.kind, opened.outputs, opened.size, opened.differentiable) == ("ONNX", 3, SIDE, False)
    assert torch.allclose(opened.network(images), network()(images), atol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_torchscript_file_gives_the_networks_scores(tmp_path, images):
    torch.jit.trace(network(), images).save(str(tmp_path / "net.pt"))
    opened = open_model(str(tmp_path / "net.pt"), None, "none", SIDE)
    assert (opened.kind, opened.outputs, opened.differentiable) == ("TorchScript", 3, True)
    assert torch.allclose(opened.network(images), network()(images))
    halved = open_model(str(tmp_path / "net.pt"), None, "half", SIDE)
    assert torch.allclose(halved.network(images), network()(images * 2 - 1), atol=1e-6)
    assert halved.normalisation == "mean 0.5, 0.5, 0.5, std 0.5, 0.5, 0.5"


@pytest.mark.parametrize("is_free", [True, False])
def test_an_exported_program_gives_the_networks_scores(tmp_path, images, is_free):
    shapes = {"input": {0: torch.export.Dim("n")}} if is_free else None
    torch.export.save(torch.export.export(network(), (images[:2],), dynamic_shapes=shapes), tmp_path / "net.pt2")
    opened = open_model(str(tmp_path / "net.pt2"), None, "none", None)
    assert (opened.kind, opened.outputs, opened.size) == ("exported program", 3, SIDE)
    assert torch.allclose(opened.network(images), network()(images))


def test_a_function_gives_its_scores_of_pictures_as_they_are(tmp_path, images, monkeypatch):
    (tmp_path / "my_audited_model.py").write_text("def scores(image):\n    return image.mean(dim=(2, 3)).numpy()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match=r"cannot predict pictures \[2, 3, 16, 16\] \(RuntimeError: Can't call numpy"):
        open_model("my_audited_model:scores", None, "own", SIDE)
    (tmp_path / "my_other_model.py").write_text("def scores(image):\n    return image.detach().mean((2, 3)).numpy()\n")
    opened = open_model("my_other_model:scores", None, "own", SIDE)
    assert torch.allclose(opened.network(images), images.mean(dim=(2, 3)))
    assert (opened.sha256, opened.differentiable, opened.normalisation) == ("", False, "none: pictures in [0, 1]")


def test_an_architecture_takes_its_weights_and_as_many_outputs_as_these_have(tmp_path):
    import timm
    import torchvision

    for name, made in (
        ("torchvision:squeezenet1_1", torchvision.models.squeezenet1_1(num_classes=7)),
        ("timm:test_resnet", timm.create_model("test_resnet", num_classes=7)),
    ):
        torch.save(made.half().state_dict(), tmp_path / "w.pt")
        opened = open_model(name, tmp_path / "w.pt", "none", 64)
        images = torch.rand(2, 3, 64, 64)
        assert opened.outputs == 7
        assert torch.allclose(opened.network(images), made.float().eval()(images), atol=1e-5)
        with pytest.raises(DataError, match=r"holds no weights of resnet18 \(missing conv1\.weight, .* unknown "):
            open_model("resnet18", tmp_path / "w.pt", "none", 64)


@pytest.mark.parametrize(
    ("model", "weights", "error", "message"),
    [
        ("resnet18", None, SettingError, "an audit is of a trained model, but resnet18 was given without weights"),
        ("resnet18", "none.pt", DataError, "no weights at none.pt: give --weights FILE that is there"),
        ("resnt18", "there.pt", UnknownNameError, "unknown model 'resnt18': did you mean 'resnet18'"),
        ("net.onnx", None, DataError, "no model at net.onnx: give a file that is there"),
        (
            "there.safetensors",
            None,
            SettingError,
            r"or of an architecture's name, but got there\.safetensors: for a file of weights alone give",
        ),
        (
            "there.pt",
            None,
            DataError,
            r"there\.pt is no TorchScript file .* give the architecture's name and --weights",
        ),
        ("there.onnx", None, DataError, r"there\.onnx cannot be read"),
        ("there.pt2", None, DataError, r"there\.pt2 is no exported program"),
        ("no.such:function", None, SettingError, r"no.such:function cannot be imported \(No module named 'no'\)"),
        ("math:pi", None, SettingError, r"math:pi must be a function of pictures \[B, 3, H, W\], but is float"),
        ("math:sin", "there.pt", SettingError, "--weights are of an architecture's name"),
    ],
)
def test_what_cannot_be_opened_is_refused(tmp_path, monkeypatch, model, weights, error, message):
    monkeypatch.chdir(tmp_path)
    for name in ("there.pt", "there.onnx", "there.pt2", "there.safetensors"):
        (tmp_path / name).write_bytes(b"junk")
    with pytest.raises(error, match=message):
        open_model(model, weights and Path(weights), "own", None)


def test_files_of_other_inputs_and_outputs_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"a classifier has one output, but .* has 2 \(scores0, scores1\)"):
        open_model(str(write_onnx(tmp_path / "two.onnx", outputs=2)), None, "none", None)
    with pytest.raises(SettingError, match="--normalise must be one of own, none, imagenet"):
        open_model(str(write_onnx(tmp_path / "one.onnx")), None, "caffe", None)
    with pytest.raises(DataError, match=r"cannot predict pictures \[2, 3, 20, 20\]"):
        open_model(str(tmp_path / "one.onnx"), None, "none", 20)


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("{0: 'cat', 1: 'owl', 2: 'dog'}", ("cat", "owl", "dog")),
        ('{"1": "owl", "0": "cat", "2": "dog"}', ("cat", "owl", "dog")),
        ('["cat", "owl", "dog"]', ("cat", "owl", "dog")),
        ("{3: 'cat'}", ()),
        ("[1, 2, 3]", ()),
        ("cat, owl and dog", ()),
    ],
)
def test_an_onnx_files_metadata_may_name_its_classes(tmp_path, written, names):
    file = write_onnx(tmp_path / "net.onnx")
    model = onnx.load(file)
    helper.set_model_props(model, {"names": written})
    onnx.save(model, file)
    assert open_model(str(file), None, "none", None).classes == names


def test_onnx_without_its_runtime_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SettingError, match=r"an ONNX file needs ONNX Runtime: pip install 'bgbias\[onnx\]'"):
        open_model(str(write_onnx(tmp_path / "net.onnx")), None, "none", None)


def test_a_fixed_batch_is_filled_up():
    seen = []

    def double(image):
        seen.append(len(image))
        return image.flatten(1)[:, :2] * 2

    images = torch.from_numpy(np.arange(15, dtype=np.float32).reshape(5, 3, 1, 1))
    wrapped = FixedBatch(Called(double), 2)
    assert torch.equal(wrapped(images), images.flatten(1)[:, :2] * 2)
    assert seen == [2, 2, 2]
