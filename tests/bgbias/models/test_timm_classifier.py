import hashlib
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from made_learners import task_of
from PIL import Image
from safetensors.torch import save_file

from bgbias.components import make
from bgbias.data.photographs.bank import centre
from bgbias.data.photographs.imagenet9_classes import CLASSES
from bgbias.data.photographs.picture import read_picture
from bgbias.errors import DataError, SettingError
from bgbias.models import timm_classifier
from bgbias.models.backbone import whole
from bgbias.models.timm_classifier import Timm
from bgbias.types import Task

SIDE = 64
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
"""Beside the repository, where it is there."""


def classifier(classes=5, side=SIDE, **fields):
    model = make(Timm, {"architecture": "resnet10t", **fields}, "model")
    torch.manual_seed(0)
    return model, model.build(task_of((3, side, side), classes))


def names(module):
    """A classifier's weights under timm's names."""
    with whole(module.body.network, module.head) as network:
        return {name: value.clone() for name, value in network.state_dict().items()}


def stored(tmp_path, state, ending="safetensors"):
    file = tmp_path / f"weights.{ending}"
    save_file(state, file) if ending == "safetensors" else torch.save({"state_dict": state}, file)
    return str(file)


@pytest.mark.parametrize(
    "architecture",
    ["resnet10t", "tf_efficientnet_lite0", "convnext_atto", "vit_tiny_patch16_224", "mobilenetv3_small_050"],
)
def test_body_and_head_give_what_timm_gives_for_pictures_in_its_own_normalisation(architecture):
    torch.manual_seed(0)
    made = timm.create_model(architecture, num_classes=5).eval()
    _, module = classifier(side=224, architecture=architecture)
    with whole(module.body.network, module.head) as network:
        network.load_state_dict(made.state_dict())
    image = torch.rand(2, 3, 224, 224)
    mean, std = (torch.tensor(made.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    expected = made((image - mean) / std)
    features = module.eval().features(image)
    torch.testing.assert_close(module(image), expected)
    torch.testing.assert_close(module.head(features), expected)
    assert features.shape == (2, made.num_features if architecture != "mobilenetv3_small_050" else 1024)


def test_means_and_deviations_are_one_number_or_one_for_each_channel():
    _, module = classifier(mean="0.5", std="0.1,0.2,0.5")
    found = module.body.normalise(torch.full((1, 3, 1, 1), 0.6)).flatten()
    torch.testing.assert_close(found, torch.tensor([1.0, 0.5, 0.2]))
    _, module = classifier()
    torch.testing.assert_close(module.body.normalise.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))


def test_pictures_are_scaled_first_where_a_size_is_set():
    _, module = classifier(side=28, architecture="vit_tiny_patch16_224", size=224)
    assert [name for name, _ in module.body.named_children()] == ["scale", "normalise", "network"]
    assert module(torch.rand(2, 1, 28, 28)).shape == (2, 5)
    flat = module.body.scale(torch.full((1, 1, 28, 28), 0.3))
    assert flat.shape == (1, 1, 224, 224)
    torch.testing.assert_close(flat, torch.full((1, 1, 224, 224), 0.3))


def test_the_pooling_can_be_chosen():
    torch.manual_seed(0)
    _, mean = classifier()
    _, highest = classifier(pooling="max")
    image = torch.rand(2, 3, SIDE, SIDE)
    parts = mean.body.network.forward_features(mean.body.normalise(image))
    highest.body.network.load_state_dict(mean.body.network.state_dict())
    torch.testing.assert_close(mean.train().features(image), parts.mean(dim=(2, 3)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(highest.train().features(image), parts.amax(dim=(2, 3)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_half_precision_weights_without_counters_become_float_ones(tmp_path, ending):
    _, trained = classifier()
    state = {name: value.half() if value.is_floating_point() else value for name, value in names(trained).items()}
    less = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    model, module = classifier(weights=stored(tmp_path, less, ending))
    model.initialise(module)
    found = names(module)
    assert less.keys() < found.keys()
    assert all(torch.equal(found[name], value.float()) for name, value in less.items())
    assert {value.dtype for value in found.values()} == {torch.float32, torch.int64}


def test_a_last_layer_of_another_size_or_of_none_starts_from_scratch(tmp_path):
    _, trained = classifier(classes=9)
    state = names(trained)
    headless = {name: value for name, value in state.items() if not name.startswith("fc.")}
    for given in (state, headless):
        model, module = classifier(weights=stored(tmp_path, given))
        before = names(module)
        model.initialise(module)
        found = names(module)
        assert all(torch.equal(found[name], value) for name, value in headless.items())
        assert torch.equal(found["fc.weight"], before["fc.weight"])


def test_a_new_last_layer_can_begin_at_zero(tmp_path):
    _, trained = classifier()
    fitting = names(trained)
    headless = {name: value for name, value in fitting.items() if not name.startswith("fc.")}
    for given, zero in ((headless, True), (fitting, False)):
        model, module = classifier(weights=stored(tmp_path, given), head="zero")
        model.initialise(module)
        logits = module(torch.rand(2, 3, SIDE, SIDE))
        assert bool((logits == 0).all()) == zero
        logits.logsumexp(dim=1).sum().backward()
        assert (float(sum(p.grad.abs().sum() for p in module.body.parameters())) == 0) == zero
        assert module.head.weight.grad.abs().sum() > 0


def test_positions_are_fitted_to_pictures_of_another_size(tmp_path):
    _, trained = classifier(side=224, architecture="vit_tiny_patch16_224")
    file = stored(tmp_path, names(trained))
    model, module = classifier(side=64, architecture="vit_tiny_patch16_224", weights=file)
    model.initialise(module)
    found = names(module)
    assert found["pos_embed"].shape == (1, 1 + 4 * 4, 192)
    assert torch.equal(found["blocks.0.attn.qkv.weight"], names(trained)["blocks.0.attn.qkv.weight"])


def test_weights_of_another_architecture_are_refused_by_name(tmp_path):
    _, other = classifier(architecture="resnet18")
    model, module = classifier(weights=stored(tmp_path, names(other)))
    with pytest.raises(DataError, match=r"missing conv1.0.weight.*unknown .*set model/architecture") as told:
        model.initialise(module)
    assert "\n" not in str(told.value)


def test_the_checksum_is_that_of_the_file(tmp_path):
    file = stored(tmp_path, names(classifier()[1]))
    model, _ = classifier(weights=file)
    assert model.checksum() == hashlib.sha256(Path(file).read_bytes()).hexdigest()
    assert classifier()[0].checksum() is None
    with pytest.raises(DataError, match=r"gone\.safetensors cannot be read"):
        classifier(weights=str(tmp_path / "gone.safetensors"))[0].checksum()


def test_the_hubs_weights_are_loaded_and_their_checksum_is_that_of_the_tensors(monkeypatch):
    def create(architecture, **options):
        assert options == {"pretrained": True}
        torch.manual_seed(7)
        return original(architecture)

    model, module = classifier(weights="hub")
    original = timm.create_model
    timm_classifier.downloaded.cache_clear()
    monkeypatch.setattr(timm, "create_model", create)
    model.initialise(module)
    hubs = create("resnet10t", pretrained=True).state_dict()
    found = names(module)
    assert all(torch.equal(found[name], value) for name, value in hubs.items() if not name.startswith("fc."))
    first = model.checksum()
    assert len(first) == 64
    assert model.checksum() == first
    timm_classifier.downloaded.cache_clear()


def test_a_hub_that_cannot_be_reached_is_named(monkeypatch):
    def fail(*_, **__):
        raise OSError("no network")

    model, module = classifier(weights="hub")
    timm_classifier.downloaded.cache_clear()
    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(DataError, match=r"resnet10t could not be fetched from timm's hub \(no network\): fetch"):
        model.initialise(module)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"architecture": "resnet999"}, r"a classifier of timm, such as resnet.*'resnet999'"),
        ({"mean": "0.5,0.5"}, "one number, or three"),
        ({"std": "0"}, "above 0"),
    ],
)
def test_bad_settings_are_refused(fields, told):
    with pytest.raises(SettingError, match=told):
        make(Timm, fields, "model")


def test_an_architecture_that_does_not_fit_is_refused():
    with pytest.raises(SettingError, match=r"timm cannot build vit_tiny_patch16_224.*model/pooling"):
        classifier(architecture="vit_tiny_patch16_224", pooling="nonsense")
    with pytest.raises(SettingError, match="must end in one linear layer, but deit_tiny_distilled"):
        classifier(side=224, architecture="deit_tiny_distilled_patch16_224")


@pytest.mark.skipif(not SHARED.exists(), reason="the real weights are not here")
def test_real_weights_in_half_precision_see_what_is_in_real_pictures():
    file = SHARED / "weights" / "tf_efficientnet_lite0.fp16.safetensors"
    fields = {"architecture": "tf_efficientnet_lite0", "weights": str(file), "scores": "imagenet"}
    model = make(Timm, {"mean": "0.498", "std": "0.502", **fields}, "model")
    module = model.build(Task((3, 224, 224), CLASSES, CLASSES, 1))
    model.initialise(module)
    folders = sorted((SHARED / "in9_mini" / "images").iterdir())
    shown = [centre(read_picture(sorted(folder.iterdir())[0]), 224, Image.Resampling.BICUBIC) for folder in folders]
    image = torch.stack([torch.from_numpy(np.array(picture)) for picture in shown]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        found = module.eval()(image).argmax(dim=1)
    assert (found == torch.arange(9)).sum() >= 8
