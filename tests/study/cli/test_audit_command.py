"""`study audit` on small models and pictures: what it computes, what it writes, and what it refuses."""

import json
import re

import numpy as np
import onnx
import pytest
import torch
from made_onnx import write_bright
from made_photographs import CLASSES, SIDE
from made_sources import write_sources
from onnx import TensorProto, helper
from PIL import Image
from torch import nn

from bgbias.config import RunConfig
from bgbias.data.photographs import layout
from bgbias.data.photographs.imagenet9_classes import CLASS_OF_IMAGENET
from bgbias.data.photographs.imagenet9_classes import CLASSES as NINE
from study.training import single

FOLDERS = NINE[:3]
"""The folders of the made pictures that are scored through ImageNet-9's map."""
SIZE = 32


class ThousandColors(nn.Module):
    """A random linear map of the mean colour and the centre's colour to 1,000 scores."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 1000)
        with torch.no_grad():
            generator = torch.Generator().manual_seed(5)
            self.linear.weight.normal_(generator=generator).mul_(4)
            self.linear.bias.zero_()
            of_no_folder = [label not in range(len(FOLDERS)) for label in CLASS_OF_IMAGENET]
            self.linear.bias[torch.tensor(of_no_folder)] -= 1.5  # so that some predictions are in the folders' classes

    def forward(self, image):
        centre = image[:, :, 12:20, 12:20].mean(dim=(2, 3))
        return self.linear(torch.cat([image.mean(dim=(2, 3)), centre], dim=1) - 0.5)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return write_sources(tmp_path_factory.mktemp("sources"), FOLDERS, 6)


@pytest.fixture(scope="module")
def scripted(tmp_path_factory):
    """The model as a TorchScript file."""
    file = tmp_path_factory.mktemp("model") / "model.pt"
    with pytest.MonkeyPatch.context():
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.trace(ThousandColors().eval(), torch.rand(2, 3, SIZE, SIZE)).save(str(file))
    return file


@pytest.fixture(scope="module")
def audited(sources, scripted, tmp_path_factory, request):
    """One audit with the challenge, its folder, and the cache."""
    folder = tmp_path_factory.mktemp("audit")
    found = request.getfixturevalue("run_audit")(
        scripted, "--images", sources / "images", "--masks", sources / "masks", "--size", SIZE, "--normalise", "none",
        "--challenge", "--out", folder / "out", "--cache", folder / "cache", "--json",
    )  # fmt: skip
    return found, folder


@pytest.fixture(scope="session")
def run_audit():
    """Runs `study audit` in this process, with `--json`; its JSON object."""
    import contextlib
    import io
    import sys

    from study.cli import main as cli

    def run(*arguments):
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
            patch.setattr(sys, "argv", ["study", "audit", *map(str, arguments), "--threads", "1"])
            with pytest.raises(SystemExit) as stopped:
                cli.main()
        assert not stopped.value.code
        return json.loads(printed.getvalue())

    return run


def pictures(folder, variant):
    """The files of a variant by class and name, as pixels [1, 3, H, W] in [0, 1]."""
    files = sorted(layout.split_folder(folder, variant, layout.TEST).rglob("*.JPEG"))
    return {
        (file.parent.name, file.stem): torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None].float() / 255
        for file in files
    }


def scored(model, image):
    """The folder of a prediction as the Background Challenge has it: the class of the highest of all 1,000 outputs."""
    label = CLASS_OF_IMAGENET[int(model(image).argmax())]
    return FOLDERS[label] if 0 <= label < len(FOLDERS) else None


def test_an_imagenet_model_is_scored_as_the_challenge_defines_it(audited):
    """Every variant and the challenge by brute force, from the files of the built folder."""
    found, folder = audited
    built, model = next((folder / "cache").iterdir()), ThousandColors().eval()
    assert found["data"] == str(built)
    right = {}
    for variant in layout.VARIANTS:
        shown = pictures(built, variant)
        right[variant] = {key: scored(model, image) == key[0] for key, image in shown.items()}
        told = found["variants"][variant]
        assert told["images"] == len(shown) == 18
        assert told["accuracy"]["value"] == pytest.approx(np.mean(list(right[variant].values())))
        each = {name: np.mean([hit for key, hit in right[variant].items() if key[0] == name]) for name in FOLDERS}
        assert told["worst_class_accuracy"]["value"] == pytest.approx(min(each.values()))
        assert each[told["worst_class"]] == min(each.values())
    assert 0 < found["variants"]["original"]["accuracy"]["value"] < 1
    gap = np.mean(list(right["mixed_same"].values())) - np.mean(list(right["mixed_rand"].values()))
    assert found["bg_gap"]["value"] == pytest.approx(gap)

    tiles, originals = pictures(built, layout.ONLY_BG_T), pictures(built, layout.ORIGINAL)
    robust, fooled = 0, {}
    for (name, stem), image in originals.items():
        mask = torch.from_numpy(np.load(layout.split_folder(built, layout.FG_MASK, layout.TEST) / name / f"{stem}.npy"))
        wrong = {
            f"{place}/{donor}"
            for (place, donor), tile in tiles.items()
            if scored(model, torch.where(mask, image, tile)) != name
        }
        robust += not wrong
        fooled[f"{name}/{stem}"] = wrong
    challenge = found["challenge"]
    assert (challenge["objects"], challenge["backgrounds"]) == (18, 18)
    assert challenge["robust"]["value"] == pytest.approx(robust / 18)
    assert {one["object"] for one in challenge["fooled"]} == {key for key, wrong in fooled.items() if wrong}
    assert all(one["background"] in fooled[one["object"]] for one in challenge["fooled"])


def test_the_places_and_what_the_background_decides(audited):
    found, folder = audited
    built, model = next((folder / "cache").iterdir()), ThousandColors().eval()
    count, hits = np.zeros((3, 3)), np.zeros((3, 3))
    followed = away = 0
    places = {stem: name for name, stem in pictures(built, layout.ORIGINAL)}
    for variant in layout.MIXED:
        for (name, stem), image in pictures(built, variant).items():
            place, answer = places[layout.mixed_sources(stem)[1]], scored(model, image)
            cell = FOLDERS.index(name), FOLDERS.index(place)
            count[cell] += 1
            hits[cell] += answer == name
            if place != name:
                away, followed = away + 1, followed + (answer == place)
    assert found["counts"]["values"] == count.tolist()
    for row, values in enumerate(found["places"]["values"]):
        for column, value in enumerate(values):
            expected = hits[row, column] / count[row, column] if count[row, column] else None
            assert value == (None if expected is None else pytest.approx(expected))
    assert found["alone"]["followed"]["value"] == pytest.approx(followed / away)
    assert found["alone"]["right"]["value"] == found["variants"]["only_bg_t"]["accuracy"]["value"]
    assert found["alone"]["chance"] == pytest.approx(1 / 3)


def test_the_page_holds_all_and_needs_nothing_else(audited):
    found, folder = audited
    page = (folder / "out" / "audit.html").read_text()
    assert found["page"] == str(folder / "out" / "audit.html")
    assert json.loads((folder / "out" / "audit.json").read_text()) == {k: v for k, v in found.items() if k != "page"}
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert page.count('src="data:image/jpeg;base64,') == 3 * 8 + min(12, len(found["challenge"]["fooled"]))
    for line in found["advice"]:
        assert line.split("(")[0].split("'")[0].split("&")[0][:40] in page
    for title in ("What to do next", "Class and place", "Where it looks", "The Background Challenge"):
        assert f"<h2>{title}</h2>" in page
    assert len(found["advice"]) == 3
    assert set(found["looks"]) == {"original", "mixed_rand"}
    assert 0 < found["looks"]["original"]["share"] < 1


def test_built_variants_are_found_again_and_a_changed_picture_builds_anew(run_audit, sources, scripted, tmp_path):
    import shutil

    copy = shutil.copytree(sources, tmp_path / "sources")
    fixed = (scripted, "--images", copy / "images", "--masks", copy / "masks", "--size", SIZE, "--normalise", "none")
    options = (*fixed, "--cache", tmp_path / "cache", "--json")
    first = run_audit(*options, "--out", tmp_path / "one")
    stamps = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*.JPEG")}
    second = run_audit(*options, "--out", tmp_path / "two")
    assert {k: v for k, v in first.items() if k != "page"} == {k: v for k, v in second.items() if k != "page"}
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*.JPEG")} == stamps
    own = next((copy / "images" / FOLDERS[0]).iterdir())
    Image.open(own).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(own)
    third = run_audit(*options, "--out", tmp_path / "three")
    assert third["data"] != first["data"]
    assert third["challenge"] is None


def test_a_checkpoint_agrees_with_study_evaluate_to_the_image(study, run_audit, photographs_folder, tmp_path):
    flat = {
        "dataset/name": "imagenet9", "dataset/size": SIDE, "method/name": "dynamic_replacement", "training/epochs": 2,
        "model/name": "compact_cnn", "data": photographs_folder,
    }  # fmt: skip
    checkpoint, _ = single.train(RunConfig.from_flat(flat), "cpu", tmp_path / "trained")
    found = run_audit(checkpoint, "--images", photographs_folder, "--out", tmp_path / "audit", "--challenge", "--json")
    code, printed, _ = study("evaluate", checkpoint, "--challenge", "--json")
    assert code == 0
    evaluated = json.loads(printed)
    metrics = evaluated["metrics"]
    for variant in layout.VARIANTS:
        told = found["variants"][variant]
        assert told["accuracy"]["value"] == metrics[f"test/{variant}/accuracy"]
        assert told["worst_class_accuracy"]["value"] == metrics[f"test/{variant}/worst_class_accuracy"]
    assert found["bg_gap"]["value"] == metrics["test/bg_gap"]
    assert found["challenge"]["robust"]["value"] == metrics["test/challenge/accuracy"]
    fooled = [one["foreground"] for one in evaluated["challenge"]["fooled"]]
    assert [one["object"] for one in found["challenge"]["fooled"]] == fooled
    assert found["classes"] == list(CLASSES)


def test_a_model_finds_the_objects_where_there_are_no_masks(audited, run_audit, sources, scripted, tmp_path):
    write_bright(tmp_path / "bright.onnx")
    found = run_audit(
        scripted, "--images", sources / "images", "--masks-from", tmp_path / "bright.onnx", "--size", SIZE,
        "--normalise", "none", "--out", tmp_path / "out", "--cache", tmp_path / "cache", "--json",
    )  # fmt: skip
    exact, _ = audited
    assert found["variants"]["original"] == exact["variants"]["original"]
    assert found["looks"]["original"]["area"] == pytest.approx(exact["looks"]["original"]["area"], abs=0.02)
    assert found["model"]["pictures"] == "18"


def test_fewer_backgrounds_are_spread_over_all(run_audit, photographs_folder, tmp_path):
    (tmp_path / "chance.py").write_text("import torch\ndef scores(image):\n    return image.detach().mean((2, 3))\n")
    import sys

    sys.path.insert(0, str(tmp_path))
    try:
        found = run_audit(
            "chance:scores", "--images", photographs_folder, "--out", tmp_path / "out", "--challenge",
            "--backgrounds", 4, "--size", SIDE, "--json",
        )  # fmt: skip
    finally:
        sys.path.remove(str(tmp_path))
    assert found["challenge"]["backgrounds"] == 4
    assert {one["background"].partition("/")[0] for one in found["challenge"]["fooled"]} <= set(CLASSES)
    assert found["looks"] == {}
    assert found["variants"]["original"]["accuracy"]["value"] > 0.9  # the mean colour is the background's class


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--backgrounds", 3), "--backgrounds is of the Background Challenge: give --challenge too, or leave it out"),
        ((), "objects are given by masks or by boxes, but none were given"),
        (("--classes", "none.csv"), "none.csv cannot be read"),
        (("--weights", "x.pt"), "--weights are of an architecture's name"),
    ],
)
def test_bad_input_ends_with_one_line_and_nothing_written(study, sources, scripted, tmp_path, options, message):
    fixed = ("--images", sources / "images", "--size", SIZE, "--cache", tmp_path / "cache", "--out", tmp_path / "out")
    code, printed, told = study("audit", scripted, *fixed, *options)
    assert (code, printed) == (2, "")
    (line,) = [line for line in told.splitlines() if line]
    assert message in line
    assert not (tmp_path / "cache").exists() or not any((tmp_path / "cache").iterdir())
    assert not (tmp_path / "out").exists()


def test_an_onnx_file_of_other_class_names_is_refused_with_both(study, photographs_folder, tmp_path):
    nodes = [helper.make_node("ReduceMean", ["image"], ["scores"], axes=[2, 3], keepdims=0)]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in (("image", ["n", 3, SIDE, SIDE]), ("scores", ["n", 3]))
    )
    graph = helper.make_graph(nodes, "net", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"names": str(dict(enumerate(["01_bar", "00_disc", "02_frame"])))})
    onnx.save(model, tmp_path / "net.onnx")
    fixed = ("--images", photographs_folder, "--out", tmp_path / "out")
    code, _, told = study("audit", tmp_path / "net.onnx", *fixed)
    assert (code, told.count("\n")) == (2, 1)
    assert "net.onnx has 01_bar, 00_disc, 02_frame and" in told
    assert f"{photographs_folder} has 00_disc, 01_bar, 02_frame: give --classes FILE.csv" in told
    (tmp_path / "map.csv").write_text("1,00_disc\n0,01_bar\n2,02_frame\n")
    code, _, told = study("audit", tmp_path / "net.onnx", *fixed, "--classes", tmp_path / "map.csv")
    assert code == 0, told


def test_another_number_of_outputs_and_other_data_are_refused(study, scripted, photographs_folder, tmp_path):
    fixed = ("--size", SIDE, "--cache", tmp_path / "cache", "--out", tmp_path / "out")
    code, _, told = study("audit", scripted, "--images", photographs_folder, *fixed)
    assert code == 2
    assert "an output for each of the 3 class folders (00_disc, 01_bar, 02_frame), but this one has 1000" in told
    code, _, told = study("audit", scripted, "--images", tmp_path, *fixed)
    assert code == 2
    assert f"{tmp_path} holds no class folders" in told
