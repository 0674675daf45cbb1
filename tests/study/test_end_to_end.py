"""One study with real Ray, Optuna and MLflow, run as its users run it and read back with each tool's own client.

Its driver is killed amid the search and the study is resumed, so that all that is found holds for such a study too.
"""

import json

import optuna
import pytest
from mlflow import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from running import run, started, wait_until
from safetensors.torch import load_file

from bgbias.checkpoint import load
from study.record.folder import CONFIRM, SEARCH, StudyFolder

SPACES = ("erm", "gradient_penalty")
TRIALS, EPOCHS, SEEDS = 2, 2, 2
PLAIN = ("original", "shuffled", "removed")
RIMS = ("original_rim", "shuffled_rim")


@pytest.fixture
def json_of(study):
    """Runs a command in this process; returns what it prints with `--json`."""

    def run(*arguments):
        code, printed, errors = study(*arguments, "--json")
        assert code == 0, errors
        return json.loads(printed)

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a study that was killed and resumed, and what `study resume --json` printed."""
    folder = StudyFolder(tmp_path_factory.mktemp("outputs") / "my-study")
    options = ["--trials", TRIALS, "--epochs", EPOCHS, "--confirm-seeds", SEEDS, "--output", folder.root]
    with started("run", *SPACES, "--set", "dilation=1", *options) as process:
        wait_until(lambda: any(trial.history for trial in folder.trials(SEARCH)), process)
        process.kill()
    return folder, json.loads(run("resume", folder.root, "--json"))


@pytest.fixture(scope="module")
def client(finished):
    folder, _ = finished
    return MlflowClient(f"sqlite:///{folder.root / 'mlflow.db'}")


@pytest.fixture(scope="module")
def runs(client):
    experiment = client.get_experiment_by_name("colored-digits")
    return client.search_runs([experiment.experiment_id], max_results=1000)


def test_every_trial_is_one_run_under_one_parent(finished, runs):
    folder, _ = finished
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    recorded = folder.trials(SEARCH) + folder.trials(CONFIRM)
    assert len(recorded) == len(SPACES) * (TRIALS + SEEDS)
    assert sorted(run.data.tags["trial_id"] for run in children) == sorted(trial.trial_id for trial in recorded)
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert parent.info.run_name == "my-study"
    assert parent.data.tags["study_id"] == folder.read_config().study_id


def test_runs_carry_the_tags_and_parameters_they_are_found_by(finished, runs):
    folder, _ = finished
    by_id = {run.data.tags.get("trial_id"): run for run in runs}
    for trial in folder.trials(SEARCH) + folder.trials(CONFIRM):
        data = by_id[trial.trial_id].data
        assert data.tags["method"] == trial.space
        assert data.tags["dataset"] == "colored-digits"
        assert data.tags["stage"] == trial.stage
        assert data.tags["seed"] == str(trial.config["seed"])
        assert {f"version/{package}" for package in ("torch", "ray", "optuna", "mlflow")} <= data.tags.keys()
        assert data.params == {key: str(value) for key, value in trial.config.items()}


def test_every_epoch_of_every_variant_is_in_mlflow_once_under_the_loops_names(finished, client, runs):
    folder, _ = finished
    by_id = {run.data.tags.get("trial_id"): run for run in runs}
    for trial in folder.trials(SEARCH):
        run = by_id[trial.trial_id]
        variants = PLAIN + (RIMS if trial.space == "gradient_penalty" else ())
        for split in ("val", "test"):
            for variant in variants:
                name = f"{split}/{variant}/accuracy"
                found = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
                assert found == [(epoch, m[name]) for epoch, m in enumerate(trial.history, start=1)]
        terms = {name for name in run.data.metrics if name.startswith("train/loss/")}
        penalty = ("background_gradient", "background_gradient_raw") if trial.space == "gradient_penalty" else ()
        assert terms == {f"train/loss/{term}" for term in ("cross_entropy", *penalty)}


def test_each_runs_summary_is_its_accuracy_at_the_epoch_that_validation_selects(finished, runs):
    folder, _ = finished
    by_id = {run.data.tags.get("trial_id"): run.data.metrics for run in runs}
    for trial in folder.trials(SEARCH) + folder.trials(CONFIRM):
        for variant in PLAIN:
            accuracies = [metrics[f"val/{variant}/accuracy"] for metrics in trial.history]
            at = accuracies.index(max(accuracies))
            logged = by_id[trial.trial_id]
            assert logged[f"best/val.{variant}.epoch"] == at + 1
            assert logged[f"best/val.{variant}.accuracy"] == accuracies[at]
            assert logged[f"best/test.{variant}.accuracy"] == trial.history[at][f"test/{variant}/accuracy"]


def test_winners_are_found_by_their_tag_and_the_parent_tells_where_to_look(finished, client, runs):
    _, printed = finished
    won = {}
    for row in printed["rows"]:
        won.setdefault(row["trial"], []).append(row["variant"])
    tagged = {run.data.tags["trial_id"]: run.data.tags["winner"] for run in runs if "winner" in run.data.tags}
    assert tagged == {trial: ", ".join(variants) for trial, variants in won.items()}
    (parent,) = [run for run in runs if run.data.tags["stage"] == "study"]
    page = f"#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}/artifacts/report/overview.html"
    assert f"[Interactive figures]({page})" in parent.data.tags["mlflow.note.content"]
    assert "report/overview.html" in {item.path for item in client.list_artifacts(parent.info.run_id, "report")}
    experiment = client.get_experiment(parent.info.experiment_id)
    assert f"#/experiments/{experiment.experiment_id}/runs?searchFilter=" in experiment.tags["mlflow.note.content"]


def test_aliases_resolve_to_checkpoints_that_evaluate_to_the_recorded_accuracy(finished, client, tmp_path, json_of):
    _, printed = finished
    model = client.get_registered_model("colored-digits")
    assert set(model.aliases) == {*PLAIN, *RIMS}
    for variant in PLAIN + RIMS:
        version = client.get_model_version_by_alias("colored-digits", variant)
        rows = [row for row in printed["rows"] if row["variant"] == variant]
        champion = max(rows, key=lambda row: row["val_accuracy"])
        run = client.get_run(version.run_id)
        assert run.data.tags["trial_id"] == champion["trial"]
        assert float(version.tags["val_accuracy"]) == champion["val_accuracy"]
    path = client.download_artifacts(run.info.run_id, version.source.split(run.info.run_id + "/")[1], str(tmp_path))
    metrics = json_of("evaluate", path)["metrics"]
    assert metrics[f"val/{variant}/accuracy"] == champion["val_accuracy"]
    assert metrics[f"test/{variant}/accuracy"] == champion["test_accuracy"]


def test_the_printed_rows_are_the_validation_selected_winners(finished):
    folder, printed = finished
    assert (printed["study"], printed["experiment"]) == ("my-study", "colored-digits")
    assert [(row["method"], row["variant"]) for row in printed["rows"]] == [
        *(("erm", variant) for variant in PLAIN),
        *(("gradient_penalty", variant) for variant in PLAIN + RIMS),
    ]
    for row in printed["rows"]:
        name = f"val/{row['variant']}/accuracy"
        trials = folder.finished(SEARCH, row["method"])
        assert row["val_accuracy"] == max(metrics[name] for trial in trials for metrics in trial.history)
        assert row["config"]["method/name"] == row["method"]


def test_winners_are_confirmed_on_fresh_seeds(finished):
    _, printed = finished
    for row in printed["confirmed"]:
        assert row["seeds"] == [1, 2]
        assert row["mean"] == pytest.approx(sum(row["test_accuracies"]) / 2)


def test_best_and_evaluate_agree_to_the_bit(finished, json_of):
    folder, printed = finished
    for row in printed["rows"][-2:]:
        best = json_of("best", folder.root, "--variant", row["variant"])
        assert best.keys() == {"variant", "trial", "config", "checkpoint", "metrics"}
        assert json_of("evaluate", best["checkpoint"])["metrics"] == {
            name: value for name, value in best["metrics"].items() if not name.startswith("train/")
        }


def test_kept_checkpoints_are_the_winners_and_nothing_else(finished):
    folder, printed = finished
    wanted = {
        folder.root / "best" / SEARCH / row["space"] / row["trial"] / str(row["epoch"]) for row in printed["rows"]
    }
    assert set((folder.root / "best" / SEARCH).glob("*/*/*")) == wanted
    assert not list((folder.root / "checkpoints").rglob("*.safetensors"))


def test_fresh_seeds_are_compared_with_the_baseline_image_by_image(finished, json_of):
    folder, _ = finished
    report = json_of("report", folder.root)
    mean = {(row["space"], row["variant"]): row["mean"] for row in report["confirmed"]}
    assert {(row["space"], row["variant"]) for row in report["comparisons"]} == {
        ("gradient_penalty", variant) for variant in PLAIN
    }
    for row in report["comparisons"]:
        assert row["baseline"] == "erm"
        assert row["difference"] == pytest.approx(
            mean["gradient_penalty", row["variant"]] - mean["erm", row["variant"]]
        )
        for interval in (row["both"], row["over_seeds"], row["over_images"]):
            assert interval["low"] <= row["difference"] <= interval["high"]
        assert row["by_seeds"] == {"p": None, "holm": None}  # too few seeds
        assert 0 <= row["by_images"]["p"] <= row["by_images"]["holm"] <= 1


def test_kept_predictions_give_the_recorded_accuracy(finished):
    _, printed = finished
    folder = finished[0]
    row = printed["rows"][0]
    checkpoint = folder.root / "best" / SEARCH / row["space"] / row["trial"] / str(row["epoch"])
    answers = load_file(checkpoint / "predictions.safetensors")[f"test/{row['variant']}"]
    label = load(checkpoint).config.dataset.load(None).test[row["variant"]].foregrounds.label
    assert (answers == label).double().mean().item() == row["test_accuracy"]


def test_a_recorded_configuration_trains_to_the_same_numbers_outside_the_study(finished, tmp_path, json_of):
    _, printed = finished
    row = printed["rows"][-1]
    own = {key: value for key, value in row["config"].items() if key.split("/")[0] in ("method", "training", "model")}
    skipped = ("method/name", "training/epochs")
    settings = [item for key, value in own.items() if key not in skipped for item in ("--set", f"{key}={value}")]
    json_of("train", row["method"], *settings, "--epochs", EPOCHS, "--seed", 0, "--output", tmp_path / "again")
    again = json.loads((tmp_path / "again" / str(row["epoch"]) / "config.json").read_text())["metrics"]
    assert again[f"test/{row['variant']}/accuracy"] == row["test_accuracy"]
    assert again[f"val/{row['variant']}/accuracy"] == row["val_accuracy"]


def test_the_search_can_be_opened_in_optuna(finished):
    folder, _ = finished
    storage = JournalStorage(JournalFileBackend(str(folder.journal("gradient_penalty"))))
    trials = optuna.load_study(study_name="gradient_penalty", storage=storage).trials
    assert len(trials) == TRIALS
    recorded = folder.trials(SEARCH, "gradient_penalty")
    assert sorted(trial.params["method/weight"] for trial in trials) == sorted(
        trial.config["method/weight"] for trial in recorded
    )
    assert all("method/dilation" not in trial.params for trial in trials)
    assert {trial.config["method/dilation"] for trial in recorded} == {1}


def test_a_finished_study_resumes_to_the_same_report(finished, json_of):
    folder, printed = finished
    assert json.loads(run("resume", folder.root, "--json")) == printed
    assert json_of("report", folder.root) == printed
    assert len(folder.trials(SEARCH)) == len(SPACES) * TRIALS


def test_figures_are_drawn(finished):
    folder, _ = finished
    page = (folder.report / "overview.html").read_text()
    assert [key for key in ("ranking", "differences", "trade-off", "training") if f'id="{key}"' not in page] == []
