"""Tables of what MLflow alone holds."""

import pytest
from mlflow import MlflowClient

from bgbias.errors import SettingError
from study.report.experiments import Found, grids, tables


def test_winners_are_chosen_on_validation_and_seeds_are_averaged():
    runs = [
        Found("one", "erm", "search", {"shuffled": (0.9, 0.30), "original": (0.5, 0.6)}),
        Found("one", "erm", "search", {"shuffled": (0.8, 0.99)}),
        Found("two", "erm", "search", {"shuffled": (0.8, 0.50)}),
        Found("one", "erm", "confirm", {"shuffled": (0.9, 0.30)}),
        Found("one", "erm", "confirm", {"shuffled": (0.9, 0.40)}),
    ]
    winners, seeds = tables("mine", runs)
    assert winners.columns == ["shuffled", "original"]
    assert dict(winners.rows) == {"one: erm": ["30.00", "60.00"], "two: erm": ["50.00", "-"]}
    assert dict(seeds.rows) == {"one: erm": ["35.00 ± 7.07", "-"]}
    assert len(tables("mine", runs[:3])) == 1


def test_the_trials_of_an_experiment_are_read_from_mlflow(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = f"sqlite:///{tmp_path / 'store.db'}"
    client = MlflowClient(uri)
    experiment = client.create_experiment("theirs")
    for stage, validation, test in (("search", 0.9, 0.4), ("search", 0.7, 0.8), ("study", 0.0, 0.0)):
        run = client.create_run(experiment, tags={"stage": stage, "space": "erm", "study": "s"}).info.run_id
        client.log_metric(run, "best/val.shuffled.accuracy", validation)
        client.log_metric(run, "best/test.shuffled.accuracy", test)
        client.set_terminated(run)
    (grid,) = grids("theirs", uri)
    assert dict(grid.rows) == {"s: erm": ["40.00"]}
    with pytest.raises(SettingError, match="has no experiment 'ours'"):
        grids("ours", uri)
    with pytest.raises(SettingError, match="no study at ours"):
        grids("ours", None)
    client.create_experiment("empty")
    with pytest.raises(SettingError, match="no finished trial"):
        grids("empty", uri)
