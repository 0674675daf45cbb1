"""`study flow`, run in this process."""

import json

import pytest
from running import run

from bgbias.methods import methods

FLOW = (
    "flow_embedding",
    "--set",
    "width=4",
    "--set",
    "swaps=2",
    "--set",
    "max_samples=4",
    "--set",
    "backbone_epochs=2",
)
COMBINED = "static_replacement+flow_embedding"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """One of flow_embedding, one of a combination with it, and one of ERM, each after two epochs."""
    from bgbias.config import RunConfig
    from study.training import single

    made = {}
    fields = {"method/width": 4, "method/swaps": 2, "method/max_samples": 4, "method/backbone_epochs": 2}
    for method, settings in (("flow_embedding", fields), (COMBINED, fields), ("erm", {})):
        config = RunConfig.from_flat(
            {"dataset/name": "colored-digits", "method/name": method, "training/epochs": 2, **settings}
        )
        made[method] = single.train(config, "cpu", tmp_path_factory.mktemp(method) / "run")[0]
    return made


def test_a_checkpoints_flow_is_told_in_numbers_and_a_picture(study, checkpoints, tmp_path):
    arguments = ("flow", checkpoints["flow_embedding"], "--out", tmp_path / "flow", "--samples", 16, "--count", 200)
    code, printed, told = study(*arguments, "--json")
    assert code == 0, told
    found = json.loads(printed)
    assert json.loads((tmp_path / "flow" / "flow.json").read_text()) == found
    assert "flow_embedding on colored-digits" in (tmp_path / "flow" / "flow.html").read_text()
    assert set(found["bits_per_dimension"]) == {"flow", "gaussian", "gaussian_mixture"}
    curve = found["accuracy"]["shuffled"]
    assert list(curve["majority"]) == ["0", "1", "2", "4", "8", "16"]
    assert curve["majority"]["0"] == curve["reproduced"]["0"]
    assert curve["images"] == 200
    code, printed, told = study(*arguments)
    assert code == 0, told
    assert "frozen backbone" in printed
    assert "bits per dimension, gaussian" in printed


def test_the_flow_of_a_combination_is_measured_too(study, checkpoints, tmp_path):
    arguments = ("flow", checkpoints[COMBINED], "--out", tmp_path, "--samples", 2, "--count", 50)
    code, printed, told = study(*arguments, "--json")
    assert code == 0, told
    assert set(json.loads(printed)["accuracy"]["shuffled"]["majority"]) == {"0", "1", "2"}
    assert methods.find(COMBINED).analyses == methods["flow_embedding"].analyses


def test_a_cold_vote_is_one_answer_for_each_class(study, checkpoints, tmp_path):
    arguments = ("flow", checkpoints["flow_embedding"], "--out", tmp_path, "--samples", 1024, "--count", 50, "--json")
    code, printed, told = study(*arguments, "--temperature", 1e-6)
    assert code == 0, told
    curve = json.loads(printed)["accuracy"]["shuffled"]["mean_probability"]
    assert abs(curve["512"] - curve["1024"]) <= 0.02
    assert json.loads(printed)["accuracy"]["shuffled"]["majority"]["0"] == curve["0"]


def test_a_trial_reports_its_whole_curve_and_evaluates_to_the_same(study, checkpoints):
    code, printed, told = study("evaluate", checkpoints["flow_embedding"], "--json")
    assert code == 0, told
    metrics = json.loads(printed)["metrics"]
    recorded = json.loads((checkpoints["flow_embedding"] / "config.json").read_text())["metrics"]
    assert {name: recorded[name] for name in metrics} == metrics
    chosen = int(recorded["learned/samples"])
    for split in ("val", "test"):
        for variant in ("original", "shuffled", "removed"):
            curve = [metrics[f"{split}/{variant}/accuracy_at/{n}"] for n in (0, 1, 2, 4)]
            assert metrics[f"{split}/{variant}/accuracy"] == curve[(0, 1, 2, 4).index(chosen)]


@pytest.mark.slow
def test_a_studys_winner_is_found_and_a_checkpoint_serves_as_backbone(study, checkpoints, tmp_path):
    run(
        *("run", *FLOW, "--set", f"backbone={checkpoints['erm']}", "--set", "family=affine_coupling"),
        *("--trials", 2, "--epochs", 1, "--output", tmp_path / "study"),
    )
    code, printed, _ = study("best", tmp_path / "study", "--variant", "shuffled", "--json")
    best = json.loads(printed)
    assert best["config"]["method/backbone"] == str(checkpoints["erm"])
    code, printed, told = study("flow", tmp_path / "study", "--out", tmp_path / "flow", "--samples", 2, "--json")
    assert code == 0, told
    assert json.loads(printed)["checkpoint"] == best["checkpoint"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--samples", "0"], "--samples must be a power of two, 1 or more, but got 0"),
        (["--samples", "12"], "--samples must be a power of two, 1 or more, but got 12"),
        (["--temperature", "0"], "method/temperature: input should be greater than 0, but got 0.0"),
        (["--count", "3"], "'--count': Input should be greater than or equal to 20"),
    ],
)
def test_wrong_numbers_are_refused(study, checkpoints, tmp_path, options, told):
    code, printed, said = study("flow", checkpoints["flow_embedding"], "--out", tmp_path / "flow", *options)
    assert (code, printed) == (2, "")
    assert told in said
    assert not (tmp_path / "flow").exists()


def test_what_has_no_flow_is_refused(study, checkpoints, tmp_path):
    code, _, said = study("flow", checkpoints["erm"], "--out", tmp_path / "flow")
    assert code == 2
    assert "needs a checkpoint of flow_embedding" in said
    assert said.count("\n") == 1
    code, _, said = study("flow", tmp_path / "nothing", "--out", tmp_path / "flow")
    assert code == 2
    assert "no checkpoint at" in said


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["vote=plurality"], "method/vote: input should be 'majority', 'mean_probability' or 'reproduced'"),
        (["max_samples=0"], "method/max_samples: input should be greater than or equal to 1"),
        (["backbone=emr"], "a backbone must be none, the folder of a checkpoint, or one of the methods"),
    ],
)
@pytest.mark.parametrize("command", [("train", "flow_embedding", "--epochs", "1"), ("run", "flow_embedding")])
def test_wrong_settings_are_refused_before_anything_is_trained(study, tmp_path, command, settings, told):
    options = [part for setting in settings for part in ("--set", setting)]
    code, printed, said = study(*command, *options, "--output", tmp_path / "out")
    assert (code, printed) == (2, "")
    assert told in said
    assert not (tmp_path / "out").exists()
