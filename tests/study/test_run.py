"""When a run is judged, and which epochs it keeps."""

import torch

from bgbias.checkpoint import read_right
from bgbias.config import RunConfig
from bgbias.metrics import IMAGES_PER_SECOND
from study.run import Run


def finished(digits, scratch, every, epochs=5):
    settings = {"dataset/name": "colored-digits", "method/name": "erm", "training/epochs": epochs}
    config = RunConfig.from_flat({**settings, "evaluation/every": every})
    run = Run(config, digits, torch.device("cpu"), scratch)
    while not (run.history and run.done):
        run.epoch()
    return run


def test_judging_seldom_changes_nothing_but_when(load, tmp_path):
    digits = load("colored-digits")
    always = finished(digits, tmp_path / "always", every=1).history
    seldom = finished(digits, tmp_path / "seldom", every=2).history
    judged = [any(name.startswith(("val/", "test/")) for name in metrics) for metrics in seldom]
    assert judged == [False, True, False, True, True]
    for one, other in zip(always, seldom, strict=True):
        assert other == {name: one[name] for name in other} | {IMAGES_PER_SECOND: other[IMAGES_PER_SECOND]}
    assert seldom[1].keys() == seldom[4].keys() == always[0].keys()


def test_beyond_the_epochs_the_last_alone_is_judged_and_kept(load, tmp_path):
    run = finished(load("colored-digits"), tmp_path, every=100, epochs=3)
    assert ["val/original/accuracy" in metrics for metrics in run.history] == [False, False, True]
    assert [folder.name for folder in tmp_path.iterdir()] == ["3"]
    assert read_right(tmp_path / "3", "test/shuffled").double().mean() == run.history[-1]["test/shuffled/accuracy"]


def test_a_run_whose_loss_is_lost_is_judged_at_once(load, tmp_path):
    settings = {"dataset/name": "colored-digits", "method/name": "erm", "training/learning_rate": 1e30}
    config = RunConfig.from_flat({**settings, "evaluation/every": 100})
    run = Run(config, load("colored-digits"), torch.device("cpu"), tmp_path)
    run.epoch()
    assert run.done
    assert "val/original/accuracy" in run.history[-1]
