import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

from bgbias.components import make
from bgbias.data.photographs.imagenet9_classes import CLASSES
from bgbias.errors import DataError, SettingError
from bgbias.models.backbone import Normalise, whole
from bgbias.models.small_cnn import SmallCnn
from bgbias.models.torchvision_classifier import TorchvisionClassifier
from bgbias.types import Task

SHAPE = (3, 32, 32)


def task(classes):
    return Task(SHAPE, tuple(map(str, range(classes))), ("none",), 1)


def names(module):
    """A classifier's weights under the architecture's own names."""
    with whole(module.body.network, module.head) as network:
        return {name: value.clone() for name, value in network.state_dict().items()}


def classifier(**fields):
    model = TorchvisionClassifier(**fields)
    torch.manual_seed(0)
    return model, model.build(task(5))


def scored_as(classes):
    """A ResNet-18 whose ImageNet outputs are scored as some of the nine classes."""
    return TorchvisionClassifier(scores="imagenet").build(Task(SHAPE, classes, ("none",), 1))


def test_pictures_are_normalised_by_channel_and_grey_ones_become_three():
    image = torch.tensor([0.5, 0.2]).reshape(2, 1, 1, 1)
    found = Normalise((0.5, 0.1, 0.0), (1.0, 0.1, 2.0))(image)
    torch.testing.assert_close(found[:, :, 0, 0], torch.tensor([[0.0, 4.0, 0.25], [-0.3, 1.0, 0.1]]))


def test_an_imagenet_answer_counts_for_its_class_of_nine_or_for_none():
    score = torch.zeros(4, 1000)
    score[0, 151] = 1.0  # a dog
    score[1, 396] = 1.0  # a fish
    score[2, 999] = 1.0  # neither of the nine
    score[3, [20, 999]] = torch.tensor([2.0, 1.0])  # a bird, above something else
    found = scored_as(CLASSES).head[1](score)
    assert found.shape == (4, 10)
    assert found.argmax(dim=1).tolist() == [0, 8, 9, 1]
    assert found[3, [1, 9]].tolist() == [2.0, 1.0]


@pytest.mark.parametrize("classes", [("cat", "cow", "dog"), ("00_dog", "bird", *CLASSES[2:]), (*CLASSES[:8], "x")])
def test_imagenets_scores_are_of_the_nine_classes_by_name(classes):
    with pytest.raises(SettingError) as refused:
        scored_as(classes)
    assert f"(00_dog, 01_bird, {', '.join(CLASSES[2:])}), but the data has {len(classes)} (" in str(refused.value)
    assert f"({', '.join(classes)}): give data with folders of these names" in str(refused.value)


def test_some_of_the_nine_classes_are_numbered_as_the_data_has_them():
    score = torch.zeros(2, 1000)
    score[0, 396], score[1, 20] = 1.0, 1.0  # a fish, and a bird, of which the data has none
    assert scored_as(("00_dog", "08_fish")).head[1](score).argmax(dim=1).tolist() == [1, 2]


def test_imagenets_scores_are_the_outputs_if_asked():
    module = scored_as(CLASSES)
    assert module.linear.out_features == 1000
    assert module.eval()(torch.rand(2, *SHAPE)).shape == (2, 10)


@pytest.mark.parametrize("architecture", ["resnet18", "squeezenet1_1", "mobilenet_v3_small", "vit_b_32", "densenet121"])
def test_body_and_head_give_what_the_architecture_gives(architecture):
    torch.manual_seed(0)
    expected = get_model(architecture, num_classes=5).eval()
    _, module = classifier(architecture=architecture)
    image = torch.rand(2, 3, 224, 224)
    normalised = module.body.normalise(image)
    features = module.eval().features(image)
    assert torch.equal(module(image), expected(normalised))
    assert torch.equal(module(features), expected(normalised))
    assert torch.equal(module.head(features), expected(normalised))


@pytest.mark.parametrize("architecture", ["resnet18", "squeezenet1_1"])
@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_weights_come_from_a_file_all_but_a_last_layer_of_another_size(tmp_path, ending, architecture):
    _, trained = classifier(architecture=architecture)
    state = names(trained)
    file = tmp_path / f"weights.{ending}"
    save_file(state, file) if ending == "safetensors" else torch.save({"state_dict": state}, file)
    model = TorchvisionClassifier(architecture=architecture, weights=str(file))
    same, other = model.build(task(5)), model.build(task(7))
    for module in (same, other):
        model.initialise(module)
    found = names(same)
    assert all(torch.equal(found[name], state[name]) for name in state)
    widened = names(other)
    assert {name for name in state if widened[name].shape != state[name].shape} == set(list(state)[-2:])
    assert all(torch.equal(widened[name], state[name]) for name in list(state)[:-2])


def test_a_model_that_is_adopted_keeps_its_last_layer(tmp_path):
    _, trained = classifier()
    save_file(names(trained), tmp_path / "five.safetensors")
    model = TorchvisionClassifier(weights=str(tmp_path / "five.safetensors"))
    same = model.build(task(5))
    model.initialise(same, whole_network=True)
    assert torch.equal(same.head.weight, trained.head.weight)
    with pytest.raises(DataError, match=r"classes \(of another shape fc.weight \(5, 512\) instead of \(7, 512\)"):
        model.initialise(model.build(task(7)), whole_network=True)
    with pytest.raises(SettingError, match="model/weights is none: set model/weights"):
        TorchvisionClassifier().initialise(same, whole_network=True)
    with pytest.raises(SettingError, match="model/name is small_cnn: set model/name=timm"):
        SmallCnn().initialise(same, whole_network=True)


def test_from_scratch_nothing_is_put_in():
    model, module = classifier()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    model.initialise(module)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_weights_that_do_not_fit_are_refused(tmp_path):
    _, other = classifier(architecture="squeezenet1_1")
    save_file(names(other), tmp_path / "other.safetensors")
    model, module = classifier(weights=str(tmp_path / "other.safetensors"))
    with pytest.raises(DataError, match=r"do not fit resnet18 \(missing.*model/architecture"):
        model.initialise(module)


class Harmful:
    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.mark.parametrize("content", ["missing", "cut", "objects", "list"])
def test_files_that_hold_no_weights_are_refused_and_never_unpickled(tmp_path, content, capsys):
    file = tmp_path / "weights.pt"
    if content == "cut":
        torch.save({"a": torch.zeros(100)}, file)
        file.write_bytes(file.read_bytes()[:200])
    elif content == "objects":
        torch.save({"a": Harmful()}, file)
    elif content == "list":
        torch.save([1, 2], file)
    model, module = classifier(weights=str(file))
    why = {
        "missing": r"cannot be read \(No such file",
        "cut": r"cannot be read \(it is damaged, or holds more than weights\): give a .safetensors or .pt",
        "list": "holds no weights by name",
    }
    with pytest.raises(DataError, match=rf"weights\.pt {why.get(content, why['cut'])}"):
        model.initialise(module)
    assert "unpickled" not in capsys.readouterr().out


def test_an_unknown_architecture_is_refused():
    with pytest.raises(SettingError, match="resnet999"):
        make(TorchvisionClassifier, {"architecture": "resnet999"}, "model")
