"""A study on photographs with the Background Challenge among its variants, and the challenge on its own."""

import json
import sys

import pytest

from study import challenge, cli

OPTIONS = ("--dataset", "imagenet9", "--set", "dataset/size=32", "--set", "model/name=compact_cnn")


@pytest.fixture
def study(monkeypatch, capsys):
    """Runs a command; returns its exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["study", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


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
        *("--set", "evaluation/challenge=true", "--objective", "challenge", "--trials", 2, "--epochs", 2),
        *("--confirm-seeds", 2, "--output", tmp_path / "study", "--json"),
    )
    assert code == 0, told
    rows = {(row["method"], row["variant"]): row for row in json.loads(printed)["rows"]}
    variants = {variant for _, variant in rows}
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
        assert fooled["foreground"].startswith("test")
        assert fooled["background"].startswith("test")
        assert fooled["answer"] in result["classes"]
    code, printed, _ = study("evaluate", checkpoint, "--challenge")
    assert "Background Challenge" in printed
    assert "pairs answered" in printed


def test_a_stopped_challenge_goes_on_and_a_finished_one_is_not_repeated(study, checkpoint, monkeypatch):
    rounds, one_round = [], challenge.BackgroundChallenge.round

    def counted(self):
        rounds.append(1)
        if len(rounds) == 4:
            raise KeyboardInterrupt
        one_round(self)

    monkeypatch.setattr(challenge.BackgroundChallenge, "round", counted)
    monkeypatch.setattr(challenge, "SAVE_SECONDS", 0.0)
    code, _, told = study("evaluate", checkpoint, "--challenge")
    assert code == 130
    assert "the same command goes on" in told
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
