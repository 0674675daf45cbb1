"""Epochs at which a run is evaluated, and epochs whose checkpoints it keeps."""

import dataclasses
import hashlib

import pytest
import timm
import torch
from made import trial

from bgbias import checkpoint
from bgbias.checkpoint import read_predictions, read_right
from bgbias.config import RunConfig
from bgbias.errors import CheckpointError
from bgbias.evaluation.accuracy import predict
from bgbias.methods.erm import Erm
from bgbias.methods.method import Stage
from bgbias.metrics import IMAGES_PER_SECOND
from study.errors import StorageError
from study.record.selection import chosen_epochs, summary, winners
from study.record.storage import Storage
from study.training.run import Run
from study.training.trial_store import TrialStore


def fresh(digits, scratch, objectives=(), rungs=(), **settings):
    names = {"dataset/name": "colored-digits", "method/name": "erm"}
    return Run(RunConfig.from_flat({**names, **settings}), digits, torch.device("cpu"), scratch, objectives, rungs)


def test_a_run_is_not_done_before_its_first_epoch(load, tmp_path):
    run = fresh(load("colored-digits"), tmp_path, **{"training/epochs": 1})
    assert not run.done
    run.epoch()
    assert run.done


def test_its_checkpoints_hold_the_checksums_of_what_it_began_with(load, tmp_path):
    digits = dataclasses.replace(load("colored-digits").head(20), files={"metadata.csv": "0123"})
    module = timm.create_model("resnet10t", num_classes=10)
    file = tmp_path / "weights.pt"
    torch.save(module.state_dict(), file)
    model = {"model/name": "timm", "model/architecture": "resnet10t", "model/weights": str(file)}
    run = fresh(digits, tmp_path / "run", **model, **{"training/epochs": 1})
    run.epoch()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert checkpoint.load(tmp_path / "run" / "1").sources == {"weights": digest, "metadata.csv": "0123"}


def test_a_run_of_a_gpu_continues_on_a_cpu(load, tmp_path, monkeypatch):
    digits = load("colored-digits").head(130)
    straight = fresh(digits, tmp_path / "straight", **{"training/epochs": 2})
    stopped, resumed = (fresh(digits, tmp_path / "run", **{"training/epochs": 2}) for _ in range(2))
    straight.epoch()
    stopped.epoch()
    with monkeypatch.context() as patch:
        patch.setattr("torch.serialization.location_tag", lambda _: "cuda:0")
        stopped.save(tmp_path / "run")
    resumed.load(tmp_path / "run")
    assert timeless(resumed.epoch().metrics) == timeless(straight.epoch().metrics)


def finished(digits, scratch, every, epochs=5):
    run = fresh(digits, scratch, **{"training/epochs": epochs, "evaluation/every": every})
    assert not run.done
    while not run.done:
        run.epoch()
    return run


def timeless(metrics):
    return {name: value for name, value in metrics.items() if name != IMAGES_PER_SECOND}


def test_judging_seldom_changes_nothing_but_when(load, tmp_path):
    digits = load("colored-digits")
    always = finished(digits, tmp_path / "always", every=1).history
    seldom = finished(digits, tmp_path / "seldom", every=2).history
    evaluated = [any(name.startswith("val/") for name in metrics) for metrics in seldom]
    assert evaluated == [False, True, False, True, True]
    for one, other in zip(always, seldom, strict=True):
        ours = {name: value for name, value in timeless(other).items() if name in one or not name.startswith("test/")}
        assert ours == {name: one[name] for name in ours}
    assert seldom[4].keys() == always[4].keys()


def on_test(metrics):
    return {name: value for name, value in metrics.items() if name.startswith("test/")}


def trained(digits, scratch, objectives=(), rungs=(), **settings):
    """A finished run, and after each of its epochs the epochs that were tested by then."""
    settings = {"training/epochs": 6, "training/learning_rate": 0.05, **settings}
    run, tested = fresh(digits, scratch, objectives, rungs, **settings), []
    while not run.done:
        run.epoch()
        tested.append({report.epoch for report in run.epochs if on_test(report.metrics)})
    return run, tested


def test_test_variants_are_evaluated_at_the_chosen_epochs_and_nothing_else_differs(load, tmp_path):
    digits, objective = load("colored-digits").head(200), "val/shuffled/loss"
    runs = {
        when: trained(digits, tmp_path / when, [objective], **{"evaluation/test": when}) for when in ("kept", "every")
    }
    kept, every = (run.history for run, _ in runs.values())
    chosen = chosen_epochs(every, [objective])
    assert len(chosen | {6}) < 6
    assert runs["kept"][1] == [set()] * 5 + [chosen | {6}]
    assert runs["every"][1] == [set(range(1, at + 1)) for at in range(1, 7)]
    for one, other in zip(kept, every, strict=True):
        assert on_test(one) in ({}, on_test(other))
        assert timeless(one) == {name: other[name] for name in timeless(one)}
    assert chosen_epochs(kept, [objective]) == chosen
    chosen = {str(epoch) for epoch in chosen_epochs(every, [objective])}
    assert {folder.name for folder in (tmp_path / "kept").iterdir()} == {*chosen, "6"}
    for name in (*chosen, "6"):
        for file in ("model.safetensors", "predictions.safetensors"):
            one, other = (checksum_of(tmp_path / when / name / file) for when in ("kept", "every"))
            assert one == other
        one, other = (checkpoint.load(tmp_path / when / name).metrics for when in ("kept", "every"))
        assert timeless(one) == timeless(other)
    gaps = digits.gaps
    assert summary(kept, gaps, [objective]) == summary(every, gaps, [objective])
    rows = [winners([trial("a", history, **{"dataset/name": "colored-digits"})]) for history in (kept, every)]
    assert {row.oracle_test_accuracy for row in rows[0]} == {None}
    assert [dataclasses.replace(row, oracle_test_accuracy=None) for row in rows[1]] == rows[0]
    assert [row.oracle_test_accuracy for row in rows[1]] == [
        max(metrics[f"test/{row.variant}/accuracy"] for metrics in every) for row in rows[1]
    ]


def test_where_a_search_may_stop_a_run_the_best_so_far_are_tested(load, tmp_path):
    digits = load("colored-digits").head(200)
    run, tested = trained(digits, tmp_path, rungs=(2, 4))
    best = [run.keeper.best(run.history[:at]) for at in range(1, 7)]
    at_rungs = best[1] | best[3]
    assert tested == [set(), best[1], best[1], at_rungs, at_rungs, at_rungs | best[5] | {6}]


def test_a_run_first_evaluated_after_the_first_rung_may_stop_anywhere(load, tmp_path):
    settings = {"method/name": "jtt", "method/identification": 0.34}
    run, tested = trained(load("colored-digits").head(200), tmp_path, rungs=(1, 3), **settings)
    best = [run.keeper.best(run.history[:at]) for at in range(1, 7)]
    assert best[1] == set()
    assert tested[2] == {3}
    assert tested[:5] == [set().union(*best[: at + 1]) for at in range(5)]


def test_a_report_of_an_epoch_holds_what_it_completed(load, tmp_path):
    run = fresh(load("colored-digits").head(200), tmp_path, rungs=(3,), **{"training/epochs": 9})
    reported = []
    for _ in range(4):
        run.epoch()
        reported.append([report.epoch for report in run.reports])
    assert reported == [[1], [2], sorted({*run.keeper.best(run.history[:3]), 3}), [4]]


@pytest.mark.parametrize("fails_at", ["tested/1", "tested/3", "state/3"])
def test_a_full_disk_at_the_end_costs_one_epoch(load, tmp_path, monkeypatch, fails_at):
    digits, settings = load("colored-digits").head(200), {"training/epochs": 3}
    straight = fresh(digits, tmp_path / "straight", **settings)
    while not straight.done:
        straight.epoch()
    assert straight.keeper.best(straight.history) == {1}
    storage = Storage(str(tmp_path / "storage"))
    stopped, resumed = (fresh(digits, tmp_path / name, **settings) for name in ("stopped", "resumed"))
    for _ in range(2):
        stopped.epoch()
        TrialStore(storage, "t").save(stopped)
    stopped.epoch()
    put = Storage.put

    def put_until_full(self, folder, name):
        if name == fails_at:
            (tmp_path / "storage" / "t" / name).mkdir(parents=True)
            raise OSError("no space left on device")
        put(self, folder, name)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "put", put_until_full)
        patch.setattr("study.training.trial_store.WAITS", ())
        with pytest.raises(StorageError, match="no space left"):
            TrialStore(storage, "t").save(stopped)
    TrialStore(storage, "t").load(resumed)
    assert len(resumed.epochs) == 2
    resumed.epoch()
    TrialStore(storage, "t").save(resumed)
    assert list(map(timeless, resumed.history)) == list(map(timeless, straight.history))
    there = {str(path.relative_to(tmp_path / "storage" / "t")) for path in (tmp_path / "storage" / "t").glob("*/*")}
    assert there == {"epoch/2", "state/2", "state/3", "tested/1", "tested/3"}
    for epoch in straight.keeper.kept(straight.history):
        TrialStore(storage, "t").fetch(epoch, tmp_path / "fetched" / str(epoch))
        one, other = (checkpoint.load(folder / str(epoch)) for folder in (tmp_path / "straight", tmp_path / "fetched"))
        assert timeless(one.metrics) == timeless(other.metrics)
        assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
        assert (
            read_predictions(tmp_path / "fetched" / str(epoch)).keys()
            == read_predictions(straight.keeper.path(epoch)).keys()
        )


def of_training(metrics):
    return {name: value for name, value in timeless(metrics).items() if name.startswith("train/")}


def test_the_precision_of_evaluation_changes_nothing_in_training(load, tmp_path):
    digits = load("colored-digits").head(200)
    runs = {}
    for precision in (None, "float32", "bfloat16"):
        settings = {"training/epochs": 2, "evaluation/precision": precision}
        runs[precision] = fresh(digits, tmp_path / str(precision), **settings)
        while not runs[precision].done:
            runs[precision].epoch()
    own, exact, coarse = (run.history[-1] for run in runs.values())
    assert timeless(own) == timeless(exact)
    assert of_training(coarse) == of_training(exact)
    assert coarse["val/original/loss"] != exact["val/original/loss"]
    assert coarse["val/original/loss"] == pytest.approx(exact["val/original/loss"], rel=0.02)


def test_training_in_bfloat16_is_evaluated_in_float32_where_asked(load, tmp_path):
    digits = load("colored-digits").head(200)
    settings = {"training/epochs": 1, "training/precision": "bfloat16", "evaluation/precision": "float32"}
    run = fresh(digits, tmp_path, **settings)
    found = run.epoch().metrics["val/original/loss"]
    exact = predict(run.trainer.method, run.trainer.learner, run.trainer.view.validation["original"])
    assert found == exact.loss


def checksum_of(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_beyond_the_epochs_the_last_alone_is_judged_and_kept(load, tmp_path):
    run = finished(load("colored-digits"), tmp_path, every=100, epochs=3)
    assert ["val/original/accuracy" in metrics for metrics in run.history] == [False, False, True]
    assert [folder.name for folder in tmp_path.iterdir()] == ["3"]
    assert read_right(tmp_path / "3", "test/shuffled").double().mean() == run.history[-1]["test/shuffled/accuracy"]


def test_what_is_measured_of_groups_is_reported_with_the_epoch(load, tmp_path):
    digits = load("colored-digits")
    report = fresh(digits, tmp_path, **{"training/epochs": 1}).epoch()
    count = report.tables["val/shuffled/count"]
    assert (count.rows, count.columns) == (digits.classes, (*digits.places, "none"))
    assert sum(map(sum, count.values)) == len(digits.validation["shuffled"])
    correct = sum(map(sum, report.tables["val/shuffled/correct"].values))
    assert correct / len(digits.validation["shuffled"]) == pytest.approx(report.metrics["val/shuffled/accuracy"])
    assert report.metrics["test/shuffled/worst_group_accuracy"] <= report.metrics["test/shuffled/mean_group_accuracy"]


class Prologue(Erm):
    """A first stage of two epochs that is not evaluated."""

    def stages(self, epochs):
        return Stage(2, evaluated=False), Stage(epochs - 2)


def test_an_epoch_of_a_stage_that_is_not_evaluated_has_no_accuracy(load, tmp_path):
    config = RunConfig.from_flat({"dataset/name": "colored-digits", "method/name": "erm", "training/epochs": 4})
    run = Run(dataclasses.replace(config, method=Prologue()), load("colored-digits"), torch.device("cpu"), tmp_path)
    while not run.done:
        run.epoch()
    assert ["val/original/accuracy" in metrics for metrics in run.history] == [False, False, True, True]
    assert not {"1", "2"} & {folder.name for folder in tmp_path.iterdir()}


def test_what_predicting_needs_is_chosen_when_a_run_is_judged(load, tmp_path):
    settings = {"method/name": "flow_embedding", "method/backbone": None, "method/max_samples": 2}
    run = fresh(load("colored-digits"), tmp_path, **settings, **{"training/epochs": 2, "evaluation/every": 2})
    assert ["learned/samples" in run.epoch().metrics for _ in range(2)] == [False, True]


def test_a_run_whose_loss_is_lost_is_judged_at_once(load, tmp_path):
    run = fresh(load("colored-digits"), tmp_path, **{"training/learning_rate": 1e30, "evaluation/every": 100})
    run.epoch()
    assert run.done
    assert "val/original/accuracy" in run.history[-1]


def test_a_run_goes_on_from_an_epoch_that_was_not_judged(load, tmp_path):
    digits, store = load("colored-digits"), TrialStore(Storage(str(tmp_path / "storage")), "a")
    settings = {"training/epochs": 4, "evaluation/every": 2}
    stopped = fresh(digits, tmp_path / "here", **settings)
    for _ in range(3):
        stopped.epoch()
        store.save(stopped)
    resumed = fresh(digits, tmp_path / "there", **settings)
    store.load(resumed)
    assert sorted(folder.name for folder in (tmp_path / "there").iterdir()) == ["2", "3"]
    resumed.epoch()
    straight = finished(digits, tmp_path / "straight", every=2, epochs=4)
    assert list(map(timeless, resumed.history)) == list(map(timeless, straight.history))


def test_a_run_does_not_go_on_with_other_classes(load, tmp_path):
    digits, store = load("colored-digits"), TrialStore(Storage(str(tmp_path / "storage")), "a")
    stopped = fresh(digits, tmp_path / "here", **{"training/epochs": 2})
    stopped.epoch()
    store.save(stopped)
    renamed = dataclasses.replace(digits, classes=("zero", *digits.classes[1:]))
    with pytest.raises(CheckpointError, match=r"has 10 \(0, 1,.* and colored-digits has 10 \(zero, 1,"):
        store.load(fresh(renamed, tmp_path / "there", **{"training/epochs": 2}))
