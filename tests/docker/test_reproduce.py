"""The reproduction's manifest and what it computes; the studies themselves are run by `docker/reproduce`."""

import gzip
import importlib.machinery
import importlib.util
import json
import sys
import tomllib
from pathlib import Path

import pytest
import typer

import study.study
from bgbias.errors import DataError
from bgbias.models.timm_classifier import HUB
from bgbias.models.torchvision_classifier import DOWNLOAD
from study.cli import main as cli
from study.space import label, load_space

DOCKER = Path(__file__).resolve().parents[2] / "docker"
MANIFEST = tomllib.loads((DOCKER / "reproduction.toml").read_text())
STUDIES = {study["name"]: study for study in MANIFEST["studies"]}


@pytest.fixture(scope="module")
def reproduce():
    loader = importlib.machinery.SourceFileLoader("reproduce", str(DOCKER / "reproduce"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("reproduce", loader))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.dont_write_bytecode", True)
        patch.setitem(sys.modules, "reproduce", module)
        loader.exec_module(module)
        yield module


class PlannedError(Exception):
    """Carries what a command would run."""


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """A function from arguments of `study run` to the plan, made as the command makes it."""

    def stop(plan, config, folder):  # noqa: ARG001
        raise PlannedError(plan, config)

    monkeypatch.setattr(study.study, "run", stop)

    def plan(arguments):
        with pytest.raises(PlannedError) as found:
            cli.app(["run", *arguments, "--output", str(tmp_path / "study")], standalone_mode=False)
        return found.value.args

    return plan


def weights_of(study):
    return [given for given in study["arguments"] if given.startswith("model/weights=")]


@pytest.mark.parametrize("name", [name for name, study in STUDIES.items() if weights_of(study)])
def test_weights_are_asked_for_by_the_word_of_the_models_package(name):
    word = HUB if "model/name=timm" in STUDIES[name]["arguments"] else DOWNLOAD
    assert weights_of(STUDIES[name]) == [f"model/weights={word}"]


@pytest.mark.parametrize("name", STUDIES)
def test_every_command_is_a_study_with_seeds_and_every_figure_is_one_of_its_results(name, planned, folder_of):
    study = STUDIES[name]
    data = study.get("data", "colored-digits")
    kinds = {"mnist": "colored-mnist", "photographs": "imagenet9", "groups": "pictures"}
    folder = folder_of(kinds.get(data.split("-")[0], data))
    scratch = ["--set", "model/weights=none"] if weights_of(study) else []  # no download
    where = ["--data", str(folder)] if folder else []
    plan, config = planned([*study["arguments"], *scratch, *where])
    assert config.confirm_seeds >= 3
    variants = set(plan.dataset.load(folder).test)
    for figure in study["figures"]:
        assert figure["space"] in {label(space) for space in config.spaces}
        assert figure["variant"].removesuffix("_rim") in variants
        assert {"study", "field"} & figure.keys()


@pytest.mark.parametrize("name", [name for name, study in STUDIES.items() if "quick" in study])
def test_every_quick_command_needs_no_data_and_names_the_same_spaces(name, planned, reproduce):
    study = STUDIES[name]
    _, config = planned(reproduce.arguments(study, MANIFEST, quick=True))
    assert config.data is None
    assert {figure["space"] for figure in study["figures"]} <= set(config.spaces)
    assert all(load_space(space) for space in config.spaces)


def test_a_figure_lies_within_above_or_below_an_interval(reproduce):
    assert [reproduce.verdict(value, 95.0, 97.0) for value in (94.9, 95.0, 96.0, 97.0, 97.1)] == [
        "below", "within", "within", "within", "above",
    ]  # fmt: skip
    assert reproduce.verdict(95.0, None, None) == "unknown"


REPORT = {
    "confirmed": [
        {"space": "erm", "variant": "shuffled", "seeds": [1, 2, 3], "mean": 0.3, "low": 0.2, "high": 0.4},
        {"space": "erm", "variant": "original", "seeds": [1], "mean": 0.99, "low": None, "high": None},
    ]
}


def test_ours_stands_beside_each_published_figure_in_percent(reproduce):
    figures = [
        {"space": "erm", "variant": "shuffled", "study": 11.0, "field": 32.34},
        {"space": "erm", "variant": "original", "field": 99.0},
    ]
    first, second, third = reproduce.compare({"name": "x", "figures": figures}, REPORT)
    assert (first.source, first.published, first.verdict) == ("2022 study", 11.0, "below")
    assert (second.source, second.published, second.verdict) == ("later work", 32.34, "within")
    assert (third.seeds, third.verdict) == (1, "unknown")
    text = reproduce.table([first, second, third], quick=False)
    assert "| x | erm | shuffled | 30.00 | 20.00 to 40.00 | 3 | 32.34 | later work | within |" in text
    assert text.endswith("1 of 3 published figures lie within our intervals.\n")


def test_data_is_checked_before_anything_runs(reproduce, tmp_path):
    study = {"name": "x", "data": "mnist", "arguments": ["erm"]}
    whole = {"a": reproduce.hashlib.sha256(b"alpha").hexdigest()}
    assert reproduce.at_hand(study, tmp_path, {"mnist": whole}) is False
    (tmp_path / "mnist").mkdir()
    with pytest.raises(DataError, match=r"mnist/a is missing or not the original file"):
        reproduce.at_hand(study, tmp_path, {"mnist": whole})
    (tmp_path / "mnist" / "a.gz").write_bytes(gzip.compress(b"alpha"))
    assert reproduce.at_hand(study, tmp_path, {"mnist": whole}) is True
    (tmp_path / "mnist" / "a").write_bytes(b"omega")
    with pytest.raises(DataError, match="download it again"):
        reproduce.at_hand(study, tmp_path, {"mnist": whole})


def test_a_study_for_a_gpu_is_left_out_where_there_is_none(reproduce, monkeypatch, capsys):
    study = {"name": "x", "arguments": ["erm", "--gpus-per-trial", "0.1"]}
    for there in (False, True):
        monkeypatch.setattr("torch.cuda.is_available", lambda there=there: there)
        assert reproduce.at_hand(study, None, {}) is there
    assert capsys.readouterr().err.splitlines() == ["x is left out: it needs a GPU"]


def test_a_finished_study_is_not_run_again(reproduce, tmp_path, monkeypatch):
    (tmp_path / "x.json").write_text(json.dumps(REPORT))
    monkeypatch.setattr(reproduce.subprocess, "run", None)
    study = {"name": "x", "quick": ["erm"]}
    assert reproduce.reproduced(study, MANIFEST, tmp_path, None, True) == REPORT
    (tmp_path / "x.arguments.json").write_text(json.dumps(reproduce.arguments(study, MANIFEST, True)))
    assert reproduce.reproduced(study, MANIFEST, tmp_path, None, True) == REPORT
    with pytest.raises(DataError, match=r"x was begun with other arguments .* give another --output"):
        reproduce.reproduced({"name": "x", "quick": ["jtt"]}, MANIFEST, tmp_path, None, True)


def test_without_any_data_there_is_nothing_to_run(reproduce, tmp_path):
    with pytest.raises(typer.Exit) as ended:
        reproduce.main(output=tmp_path / "out", only=["colored-mnist"])
    assert ended.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_no_study_is_refused(reproduce):
    with pytest.raises(DataError, match="--only nothing is none of digits"):
        reproduce.chosen(MANIFEST["studies"], ["nothing"], quick=False)


def test_weights_from_a_file_stand_where_those_of_their_architecture_were_downloaded(reproduce, tmp_path):
    file = tmp_path / "weights.safetensors"
    file.touch()
    given = reproduce.files([f"tf_efficientnet_lite0={file}"])
    changed = reproduce.with_weights(STUDIES["photographs"], given)["arguments"]
    assert f"model/weights={file}" in changed
    assert len(changed) == len(STUDIES["photographs"]["arguments"])
    assert reproduce.with_weights(STUDIES["imagenet9-pretrained"], given) == STUDIES["imagenet9-pretrained"]
    with pytest.raises(DataError, match="--weights resnet50=nothing: there is no such file; give ARCHITECTURE=FILE"):
        reproduce.files(["resnet50=nothing"])
