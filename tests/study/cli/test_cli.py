"""Output of the `study` command, run in this process."""

import json

import pytest

GOOD_SPACE = """
from optuna.distributions import FloatDistribution
from bgbias.methods.erm import Erm
from study.space import SearchSpace
SPACE = SearchSpace(method=Erm, params={"training/learning_rate": FloatDistribution(1e-4, 1e-2, log=True)})
"""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "gradient_penaltyy"], "did you mean 'gradient_penalty'?"),
        (["run", "erm", "--dataset", "colored-mnits"], "did you mean 'colored-mnist'?"),
        (["run", "erm", "--set", "weigth=1"], "'method/weigth'"),
        (["run", "erm", "erm"], "have the same name"),
        (["run", "erm", "--trials", "0"], "study/trials: input should be greater than or equal to 1, but got 0"),
        (["run", "erm", "--trials", "many"], "--trials"),
        (["run", "erm", "--objective", "shuffeld"], "did you mean 'shuffled'?"),
        (["run", "erm", "--dataset", "colored-mnist", "--data", "no-such-folder"], "no data folder at"),
        (["run", "erm", "--set", "training/batch_size=many"], "training/batch_size: input should be a valid integer"),
        (["run", "gradient_penalty", "--set", "weight=-1"], "method/weight: input should be greater than or equal"),
        (["run", "erm", "--set", "training/epochs=5"], "'training/epochs' is the same for all trials"),
        (["run", "erm", "--set", "dataset/name=one-pixel-digits"], "give one-pixel-digits as --dataset"),
        (["run", "erm", "--objective", "shuffled_rim"], "unknown variant of erm 'shuffled_rim'"),
        (["run", "erm", "--objective", "test/shuffled/accuracy"], "give 'val/shuffled/accuracy'"),
        (["run", "erm", "--objective", "val/shuffled/los"], "did you mean 'val/shuffled/loss'?"),
        (
            ["run", "erm", "--objective", "shuffled", "--objective", "original", "--early-stopping"],
            "early stopping takes one objective, but got val/shuffled/accuracy, val/original/accuracy: "
            "give --no-early-stopping",
        ),
        (["best", "x", "--variant", "shuffled", "--prefer", "original"], "--prefer takes no --variant"),
        (["evaluate", "[/odd]"], "no checkpoint at [/odd]"),
        (["run", "erm", "--device", "tpu"], "device must be auto, cpu, cuda or cuda:<number>, but got 'tpu'"),
        (["run", "erm", "--tracking-uri", "ftp://x"], "--tracking-uri must begin with one of sqlite"),
        (["run", "no_such_file.py"], "no_such_file.py: give a name or the path of a .py file"),
        (["train", "emr"], "did you mean 'erm'?"),
        (["train", "dynamic_replacement", "--set", "p=1.5"], "method/p: input should be less than or equal to 1"),
        (["train", "dynamic_replacement", "--set", "q=1"], "method has no field 'q': choose one of p"),
        (["train", "erm", "--epochs", "0"], "training/epochs"),
        (["train", "erm", "--set", "weight"], "--set takes FIELD=VALUE, but got 'weight'"),
        (["run", "erm", "--set", "learning_rate=0.1"], "did you mean 'training/learning_rate'?"),
        (["train", "erm", "--set", "q=1"], "method has no field 'q': it has none, leave it out"),
        (["run", "erm", "--data", "."], "--data does not apply to colored-digits, whose pictures are embedded"),
        (["train", "erm", "--dataset", "one-pixel-digits", "--data", "."], "--data does not apply to one-pixel-digits"),
        (["show-data", "colored-digits", "--data", ".", "--out", "x.png"], "--data does not apply to colored-digits"),
        (["show-data", "colored-digits", "--out", "x.pdf"], "a picture's file must end in .png, but got x.pdf"),
        (["saliency", "no-such-checkpoint", "--out", "x.svg"], "a picture's file must end in .png, but got x.svg"),
        (["evaluate", "no-such-checkpoint", "--out", "x"], "a picture's file must end in .png, but got x"),
        (["evaluate", "no-such-checkpoint"], "no checkpoint at no-such-checkpoint"),
        (["best", "no-such-study", "--variant", "shuffled"], "no study at"),
        (["resume", "no-such-study"], "no study at"),
        (["report", "no-such-study"], "no study at"),
        (["ui", "no-such-study"], "no study at"),
        (["show-data", "mnist", "--out", "x.png"], "unknown dataset 'mnist'"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_input_ends_with_exit_code_2_and_one_line(study, monkeypatch, tmp_path, arguments, told):
    monkeypatch.chdir(tmp_path)
    code, out, err = study(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert told in err
    assert list(tmp_path.iterdir()) == []


def test_a_space_file_must_define_a_space(study, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("SPACES = 1")
    code, _, err = study("run", "mine.py")
    assert (code, err.count("\n")) == (2, 1)
    assert "defines no SPACE" in err


def test_a_space_file_with_a_misspelt_field_says_so(study, tmp_path):
    (tmp_path / "mine.py").write_text(GOOD_SPACE.replace("learning_rate", "learning_rat"))
    code, _, err = study("run", tmp_path / "mine.py")
    assert code == 2
    assert "training has no field 'learning_rat': choose one of epochs" in err


def test_an_output_folder_in_use_is_left_alone(study, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "note").write_text("mine")
    for command in (["run", "erm"], ["train", "erm"]):
        code, _, err = study(*command, "--output", tmp_path / "used")
        assert (code, err.count("\n")) == (2, 1)
    assert (tmp_path / "used" / "note").read_text() == "mine"


def test_train_and_evaluate_print_one_json_object_each(study, tmp_path):
    code, out, _ = study("train", "erm", "--epochs", 1, "--output", tmp_path / "run", "--json")
    trained = json.loads(out)
    assert code == 0
    assert trained.keys() == {"config", "checkpoint", "metrics"}
    assert trained["config"]["training/epochs"] == 1
    assert trained["metrics"]["train/images_per_second"] > 0

    code, out, _ = study("evaluate", trained["checkpoint"], "--json")
    evaluated = json.loads(out)
    assert code == 0
    assert evaluated.keys() == {"checkpoint", "dataset", "metrics"}
    assert evaluated["dataset"] == "colored-digits"
    assert evaluated["metrics"] == {k: v for k, v in trained["metrics"].items() if not k.startswith("train/")}


def test_a_checkpoint_is_evaluated_on_another_dataset_only_if_its_images_fit(study, tmp_path, mnist_folder):
    _, out, _ = study("train", "erm", "--epochs", 1, "--output", tmp_path / "run", "--json")
    checkpoint = json.loads(out)["checkpoint"]
    code, out, _ = study("evaluate", checkpoint, "--dataset", "colored-mnist", "--data", mnist_folder, "--json")
    assert (code, json.loads(out)["dataset"]) == (0, "colored-mnist")
    code, _, err = study("evaluate", checkpoint, "--dataset", "one-pixel-digits")
    assert (code, err.count("\n")) == (2, 1)
    assert "choose a dataset of the same shape" in err


def test_the_listings_name_everything(study):
    _, spaces, _ = study("spaces")
    _, parts, _ = study("datasets")
    assert all(name in spaces for name in ("dynamic_replacement", "method/p", "gradient_penalty_plain"))
    assert all(name in parts for name in ("one-pixel-mnist", "compact_cnn", "static_replacement", "p=0.5"))


def test_show_data_draws_a_picture(study, tmp_path):
    code, _, _ = study("show-data", "one-pixel-digits", "--out", tmp_path / "new" / "data.png", "--dilation", 1)
    assert code == 0
    assert (tmp_path / "new" / "data.png").read_bytes().startswith(b"\x89PNG")
