"""Exported files, read back by pandas alone."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from made import epoch
from torch import nn

from bgbias import checkpoint
from bgbias.config import RunConfig
from bgbias.errors import SettingError
from bgbias.evaluation.evaluator import Predictions
from bgbias.table import Table
from study.record.config import StudyConfig
from study.record.epoch import EpochReport
from study.record.folder import CONFIRM, REPEAT, SEARCH, StudyFolder
from study.record.selection import each_ones_best
from study.report.export import export, weights_hash, write

CLASSES = ("cat", "dog")
LABEL, PREDICTION, PLACE = [0, 0, 1, 1, 1], [0, 1, 1, 1, 0], [1, 0, 0, 1, -1]


def predictions():
    shuffled = Predictions(torch.tensor(LABEL), torch.tensor(PREDICTION), 0.5, place=torch.tensor(PLACE))
    return {"val/shuffled": replace(shuffled, prediction=shuffled.label), "test/shuffled": shuffled}


@pytest.fixture
def folder(tmp_path):
    """A study of two searched trials, of which the second wins, and of one fresh seed of it."""
    made = StudyFolder(tmp_path / "mine")
    made.create(StudyConfig(spaces=("erm",), trials=2, epochs=1))
    counts = Table(((1, 1, 0), (1, 1, 1)), CLASSES, ("sofa", "lawn", "none"))
    for number, (name, stage) in enumerate((("a", SEARCH), ("b", SEARCH), ("c", CONFIRM)), start=1):
        config = RunConfig.from_flat(
            {"dataset/name": "colored-digits", "method/name": "erm", "seed": number, "training/epochs": 1}
        )
        made.start_trial(name, number, "erm", stage, config.to_flat())
        metrics = epoch(shuffled=(number / 10, 0.6))
        made.add_epoch(name, EpochReport(1, metrics, {"val/shuffled/count": counts}))
        made.finish_trial(name)
        row = each_ones_best([made.trial(name)])[0]
        checkpoint.save(made.checkpoint(row, stage), config, CLASSES, 1, metrics, nn.Linear(1, 1), predictions())
    return made


@pytest.mark.parametrize(("suffix", "read"), [("parquet", pd.read_parquet), ("csv", pd.read_csv)])
def test_pandas_alone_computes_every_accuracy_from_the_export(folder, tmp_path, suffix, read):
    made = export(folder, tmp_path / "out" / f"study.{suffix}")
    found, selected = read(made.predictions), read(made.selected)
    assert (made.images, made.checkpoints) == (len(found), len(selected)) == (20, 2)
    assert set(found.trial) == {"b", "c"}
    test = found[found.split == "test"]
    accuracies = test.groupby("stage", observed=True).correct.mean().to_dict()
    assert accuracies == pytest.approx({"search": 0.6, "confirm": 0.6})
    one = test[test.trial == "b"].sort_values("image")
    assert one.label.tolist() == ["cat", "cat", "dog", "dog", "dog"]
    assert one.prediction.tolist() == ["cat", "dog", "dog", "dog", "cat"]
    assert one.place.tolist() == ["lawn", "sofa", "sofa", "lawn", "none"]
    assert one.group.tolist()[0] == "cat on lawn"
    assert one.groupby("group", observed=True).correct.mean().min() == 0
    assert set(found.selected) == {"shuffled"}


def test_the_configurations_have_their_settings_and_their_weights_hash(folder, tmp_path):
    made = export(folder, tmp_path / "study.parquet")
    found = pd.read_parquet(made.selected).set_index("trial")
    assert found.loc["b", "training/epochs"] == 1
    assert found.loc["b", "test/shuffled/accuracy"] == 0.6
    assert found.seed.to_dict() == {"b": 2, "c": 3}
    assert found.loc["c", "weights_sha256"] == weights_hash(folder.keeper(CONFIRM).path("erm", "c", 1))


def test_what_an_older_version_kept_has_no_place(folder, tmp_path):
    for path in (folder.keeper(SEARCH).path("erm", "b", 1), folder.keeper(CONFIRM).path("erm", "c", 1)):
        config = RunConfig.from_flat(folder.trial(path.parent.name).config)
        old = {key: replace(found, place=torch.zeros(0, dtype=torch.int64)) for key, found in predictions().items()}
        checkpoint.save(path, config, CLASSES, 1, {}, nn.Linear(1, 1), old)
    found = pd.read_parquet(export(folder, tmp_path / "study.parquet").predictions)
    assert found.place.isna().all()
    assert found.group.isna().all()
    assert found.correct.mean() == pytest.approx(0.8)


def test_a_checkpoint_that_only_an_objective_chose_and_further_searches_are_exported(folder, tmp_path):
    folder.write_config(replace(folder.read_config(), objectives=("val/shuffled/worst_group_accuracy",)))
    for name, number, space, stage, groups in (
        ("d", 4, "erm", CONFIRM, (0.1, 0.5)),
        ("e", 5, "erm.2", REPEAT, (0.5, 0.1)),
    ):
        config = RunConfig.from_flat({"dataset/name": "colored-digits", "method/name": "erm", "seed": number})
        folder.start_trial(name, number, space, stage, config.to_flat())
        for at, (right, worst) in enumerate(zip((0.9, 0.5), groups, strict=True), start=1):
            metrics = epoch(shuffled=(right, 0.6)) | {"val/shuffled/worst_group_accuracy": worst}
            folder.add_epoch(name, EpochReport(at, metrics))
            path = folder.keeper(stage).path(space, name, at)
            checkpoint.save(path, config, CLASSES, at, metrics, nn.Linear(1, 1), predictions())
        folder.finish_trial(name)
    found = pd.read_parquet(export(folder, tmp_path / "study.parquet").selected)
    chosen = {(row.trial, row.epoch): row.selected for row in found.itertuples() if row.trial in "de"}
    assert chosen == {
        ("d", 1): "shuffled", ("d", 2): "val/shuffled/worst_group_accuracy", ("e", 1): "shuffled",
    }  # fmt: skip


def test_another_kind_of_file_and_an_empty_study_are_refused(folder, tmp_path):
    with pytest.raises(SettingError, match=r"ends in \.parquet or \.csv, but got .study\.xlsx."):
        export(folder, tmp_path / "study.xlsx")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(SettingError, match=r"must be a file that ends in .*, but got a folder"):
        export(folder, tmp_path / "folder.csv")
    empty = StudyFolder(tmp_path / "empty")
    empty.create(StudyConfig())
    with pytest.raises(SettingError, match=r"no trial of .* has finished"):
        export(empty, tmp_path / "study.csv")
    assert write([], tmp_path / "nothing.csv") == 0
