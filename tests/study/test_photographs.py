"""A study on photographs with the Background Challenge among its variants, and the challenge on its own."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

from bgbias.data.datasets.imagenet9 import Imagenet9
from bgbias.data.photographs.imagenet9_classes import CLASS_OF_IMAGENET
from bgbias.data.photographs.imagenet9_classes import CLASSES as NINE
from study import stopping
from study.inspect import challenge
from study.record.folder import StudyFolder

OPTIONS = ("--dataset", "imagenet9", "--set", "dataset/size=32", "--set", "model/name=compact_cnn")


@pytest.fixture
def checkpoint(study, photographs_folder, tmp_path):
    """One trained on photographs for three epochs."""
    code, printed, told = study(
        *("train", "dynamic_replacement", "--data", photographs_folder, *OPTIONS, "--set", "training/batch_size=8"),
        *("--epochs", 3, "--output", tmp_path / "run", "--json"),
    )
    assert code == 0, told
    return json.loads(printed)["checkpoint"]


def test_a_study_judges_all_eight_variants_and_the_challenge(study, photographs_folder, tmp_path):
    code, printed, told = study(
        *("run", "erm", "dynamic_replacement", "--data", photographs_folder, *OPTIONS),
        *("--set", "evaluation/also=challenge", "--objective", "challenge", "--trials", 1, "--epochs", 2),
        *("--set", "evaluation/every=2", "--confirm-seeds", 1, "--output", tmp_path / "study", "--json"),
    )
    assert code == 0, told
    rows = {(row["method"], row["variant"]): row for row in json.loads(printed)["rows"]}
    variants = {variant for _, variant in rows}
    assert StudyFolder(tmp_path / "study").read_config().classes == ("00_disc", "01_bar", "02_frame")
    mixed = {"mixed_same", "mixed_rand", "mixed_next"}
    assert variants == {"original", *mixed, "only_fg", "no_fg", "only_bg_b", "only_bg_t", "challenge"}
    for method in ("erm", "dynamic_replacement"):
        row = rows[method, "challenge"]
        code, printed, _ = study("best", tmp_path / "study", "--variant", "challenge", "--space", method, "--json")
        best = json.loads(printed)
        metrics = best["metrics"]
        assert metrics["test/challenge/accuracy"] == row["test_accuracy"]
        assert metrics["test/bg_gap"] == pytest.approx(
            metrics["test/mixed_same/accuracy"] - metrics["test/mixed_rand/accuracy"]
        )
        code, printed, _ = study("evaluate", best["checkpoint"], "--challenge", "--json")
        again = json.loads(printed)
        assert again["challenge"]["accuracy"] == row["test_accuracy"]
        assert {name: again["metrics"][name] for name in metrics if "train" not in name} == pytest.approx(
            {name: value for name, value in metrics.items() if "train" not in name}, abs=0
        )


def test_the_challenge_is_told_in_words_numbers_and_a_picture(study, checkpoint, tmp_path):
    picture = tmp_path / "challenge.png"
    code, printed, told = study("evaluate", checkpoint, "--challenge", "--out", picture, "--json")
    assert code == 0, told
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = json.loads(printed)
    metrics, result = found["metrics"], found["challenge"]
    assert metrics["test/challenge/accuracy"] == result["accuracy"]
    assert result["interval"] == [metrics["test/challenge/accuracy_low"], metrics["test/challenge/accuracy_high"]]
    assert (result["foregrounds"], result["backgrounds"]) == (24, 24)
    assert set(result["classes"]) == {"00_disc", "01_bar", "02_frame"}
    assert len(result["fooled"]) == round(24 * (1 - result["accuracy"]))
    assert result["fewest_passes"] <= result["passes"] <= 24 * 24
    for fooled in result["fooled"]:
        for end in ("foreground", "background"):
            class_name, _, name = fooled[end].partition("/")
            assert class_name in result["classes"]
            assert name.startswith("test")
        assert fooled["prediction"] in result["classes"]
    code, printed, _ = study("evaluate", checkpoint, "--challenge")
    assert "Background Challenge" in printed
    assert "pairs of foreground and background" in printed


def test_a_stopped_challenge_goes_on_and_a_finished_one_is_not_repeated(study, checkpoint, monkeypatch):
    rounds, one_round = [], challenge.BackgroundChallenge.round

    def counted(self):
        rounds.append(1)
        if len(rounds) == 2:
            raise KeyboardInterrupt
        one_round(self)

    monkeypatch.setattr(challenge.BackgroundChallenge, "round", counted)
    monkeypatch.setattr(challenge, "SAVE_SECONDS", 0.0)
    ways_on = []
    monkeypatch.setattr(stopping, "on_stop", ways_on.append)
    code, _, _ = study("evaluate", checkpoint, "--challenge")
    assert code == 130
    assert ways_on == ["the same command continues"]
    code, printed, _ = study("evaluate", checkpoint, "--challenge", "--json")
    stopped = json.loads(printed)["challenge"]
    done = len(rounds)
    _, printed, _ = study("evaluate", checkpoint, "--challenge", "--json")
    assert len(rounds) == done
    assert json.loads(printed)["challenge"] == stopped


def test_a_picture_of_the_challenge_needs_the_challenge(study, checkpoint, tmp_path):
    code, _, told = study("evaluate", checkpoint, "--out", tmp_path / "x.png")
    assert code == 2
    assert "give --challenge too" in told


def test_a_model_trained_elsewhere_is_adopted_and_judged(study, photographs_folder, tmp_path):
    torch.manual_seed(0)
    elsewhere = get_model("squeezenet1_1").eval()
    save_file(elsewhere.state_dict(), tmp_path / "weights.safetensors")
    settings = ("dataset/size=32", "model/architecture=squeezenet1_1", "model/scores=imagenet")
    weights = f"model/weights={tmp_path / 'weights.safetensors'}"
    options = [word for setting in (*settings, weights) for word in ("--set", setting)]
    code, _, told = study("adopt", "--data", photographs_folder, *options, "--output", tmp_path / "adopted")
    assert (code, told.count("\n")) == (2, 1)
    assert "08_fish), but the data has 3 (00_disc, 01_bar, 02_frame): give data with folders of these names" in told
    assert not (tmp_path / "adopted").exists()
    data = shutil.copytree(photographs_folder, tmp_path / "data", ignore=shutil.ignore_patterns(".banks"))
    for name, new in zip(("00_disc", "01_bar", "02_frame"), NINE, strict=False):
        for folder in list(data.rglob(name)):
            folder.rename(folder.with_name(new))
    code, printed, told = study("adopt", "--data", data, *options, "--output", tmp_path / "adopted")
    assert code == 0, told
    (tmp_path / "weights.safetensors").unlink()
    code, printed, told = study("evaluate", tmp_path / "adopted", "--challenge", "--json")
    assert code == 0, told
    metrics = json.loads(printed)["metrics"]
    dataset = Imagenet9(size=32).load(data)
    batch = dataset.test["original"].batch(torch.arange(24))
    normalised = (batch.image - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
        [0.229, 0.224, 0.225]
    )[:, None, None]
    with torch.no_grad():
        answer = elsewhere(normalised).argmax(dim=1)
    right = torch.tensor(CLASS_OF_IMAGENET)[answer] == batch.label
    assert metrics["test/original/accuracy"] == pytest.approx(right.double().mean().item())
    code, _, told = study("adopt", "--data", data, *options, "--output", tmp_path / "adopted")
    assert code == 2
    assert "is not an empty folder" in told
