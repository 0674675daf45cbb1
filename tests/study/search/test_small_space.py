"""A whole study of a space of two configurations, one of which diverges."""

import json

import pytest
from mlflow import MlflowClient
from running import run

from study.record.folder import SEARCH, StudyFolder

SPACE = """
from optuna.distributions import CategoricalDistribution
from bgbias.methods.erm import Erm
from study.space import SearchSpace
SPACE = SearchSpace(method=Erm, params={"training/learning_rate": CategoricalDistribution([0.001, 10000.0])})
"""


@pytest.mark.slow
def test_each_configuration_is_tried_once_and_a_diverged_one_is_marked(tmp_path):
    (tmp_path / "two.py").write_text(SPACE)
    folder = StudyFolder(tmp_path / "study")
    options = ("--trials", 5, "--epochs", 8, "--max-concurrent", 1, "--no-early-stopping", "--output", folder.root)
    found = json.loads(run("run", tmp_path / "two.py", *options, "--json"))
    trials = folder.finished(SEARCH)
    epochs = {trial.config["training/learning_rate"]: len(trial.history) for trial in trials}
    assert epochs == {0.001: 8, 10000.0: 3}
    (diverged,) = [trial.trial_id for trial in trials if trial.config["training/learning_rate"] == 10000.0]
    why = "train/loss/cross_entropy was above 138, 20 times its start, for 3 epochs"
    assert found["diverged"] == {diverged: why}
    client = MlflowClient(folder.tracking_uri(folder.read_config()))
    experiment = client.get_experiment_by_name("colored-digits").experiment_id
    (marked,) = client.search_runs([experiment], f"tags.diverged = '{why}'")
    assert marked.data.tags["trial_id"] == diverged
    assert f"† 1 of 2 trials of two diverged and stopped; the first: {why}" in run("report", folder.root)
