"""Output of a search about its trials: on a terminal of 80 columns, and in a file."""

import io
import json
from types import SimpleNamespace

import pytest
from made import recorded
from rich.console import Console

from study import display
from study.search import callbacks
from study.search.callbacks import Watcher

SPACE, OBJECTIVE = "dynamic_replacement+gradient_penalty", "val/shuffled/accuracy"
SETTINGS = {"training/learning_rate": 0.00123456, "training/batch_size": 64, "method/weight": 12.5, "method/p": 0.25}


def shown(monkeypatch, tmp_path, stage="search", accuracies=(0.987,), **options):
    """All that is written for trials that end with these accuracies, beside two that run."""
    written = io.StringIO()
    for module in (display, callbacks):
        monkeypatch.setattr(module, "console", Console(file=written, highlight=False, **options))
    folder = recorded(tmp_path / "study")
    watcher = Watcher(folder.root, stage, SPACE, [OBJECTIVE], 8, tuple(SETTINGS))
    watcher.setup()
    config = {"trial": "bbbb", "settings": json.dumps(SETTINGS)}
    for accuracy in accuracies:
        result = {"epoch": 12, "values": json.dumps([accuracy])}
        watcher.on_trial_complete(SimpleNamespace(trial_id="x", config=config, last_result=result))
    for name, epoch in (("x", 12), ("y", 7)):
        watcher.on_trial_result(SimpleNamespace(trial_id=name), {"epoch": epoch})
    watcher.on_experiment_end([])
    return written.getvalue()


@pytest.fixture(autouse=True)
def colours(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_in_a_file_a_trial_is_one_line_without_colours_or_boxes(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_COLOR", "1")
    first, *rest = shown(monkeypatch, tmp_path, width=80).splitlines()
    settings = "learning_rate=0.00123 batch_size=64 weight=12.5 p=0.25"
    assert first == f"search {SPACE} {OBJECTIVE} 98.7 % after 12 epochs  {settings}"
    assert len(rest) == 1
    assert rest[0].split()[0] == "1/8"
    assert first.isascii()
    assert rest[0].isascii()


def test_on_a_narrow_terminal_words_stay_whole_and_the_counts_are_never_cut(monkeypatch, tmp_path):
    options = {"width": 80, "force_terminal": True, "color_system": None, "legacy_windows": False}
    written = shown(monkeypatch, tmp_path, **options)
    lines = [line for part in written.split("\r") for line in part.replace("\x1b[2K", "").splitlines()]
    assert max(map(len, lines)) <= 80
    assert any(line.rstrip().endswith("98.7 %") or "98.7 % after" in line for line in lines)
    assert any("batch_size=64" in line for line in lines)
    assert any(line.lstrip().startswith("1/8 ") and "best 98.7 %" in line for line in lines)


@pytest.mark.parametrize(("stage", "summary"), [("search", "best 90.0 %"), ("confirm", "mean 85.0 %")])
def test_fresh_seeds_are_summed_up_by_their_mean_and_trials_by_the_best(monkeypatch, tmp_path, stage, summary):
    written = shown(monkeypatch, tmp_path, stage, (0.9, 0.8), width=200)
    assert summary in written.splitlines()[-1]
