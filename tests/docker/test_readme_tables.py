"""The READMEs' tables are those that `study report` wrote."""

import importlib.machinery
import importlib.util
from pathlib import Path

import pytest
import typer

SCRIPT = Path(__file__).resolve().parents[2] / "docker" / "tables"


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    loader = importlib.machinery.SourceFileLoader("tables", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("tables", loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def made(tables, tmp_path, monkeypatch):
    """The script with a report of its own, kept as `mine`."""
    monkeypatch.setattr(tables, "RESULTS", tmp_path / "results")
    report = tmp_path / "report.md"
    report.write_text(
        "# s\n\n### Results\n\nwinners, 2 seeds:\n\n| method | a | b |\n|---|---|---|\n| erm | 1 | **2** |\n\n"
        "- a line\n\n### Repeat it\n\n/a/path\n"
    )
    tables.keep(report, "mine")
    return tables


def test_every_table_in_a_readme_is_the_kept_one(tables):
    files = tables.readmes()
    assert sum(len(tables.MARK.findall(file.read_text())) for file in files) >= 4
    for file in files:
        text = file.read_text()
        assert tables.filled(text) == text, f"{file}: run docker/tables fill"
        assert text.count("<!-- table: ") == len(tables.MARK.findall(text)), f"{file}: a comment that names no table"


def test_a_comment_is_followed_by_the_columns_it_names_and_filling_again_changes_nothing(made):
    text = "x\n<!-- table: mine, winners; columns b -->\n| old |\ny\n"
    filled = made.filled(text)
    head = "x\n<!-- table: mine, winners; columns b -->\n"
    assert filled == f"{head}| method | b |\n|---|---|\n| erm | **2** |\ny\n"
    assert made.filled(filled) == filled
    assert "| a | b |" in made.table("mine", "winners", None)


def test_nothing_that_names_paths_is_kept(made):
    kept = (made.RESULTS / "mine.md").read_text()
    assert "winners, 2 seeds:" in kept
    assert "/a/path" not in kept


def test_a_report_that_is_not_there_is_refused(tables, tmp_path):
    with pytest.raises(typer.BadParameter, match=r"missing\.md is no file"):
        tables.keep(tmp_path / "missing.md", "x")


@pytest.mark.parametrize(
    ("name", "title", "columns", "said"),
    [
        ("other", "winners", None, "no table"),
        ("mine", "losers", None, "no table"),
        ("mine", "winners", "c", "no column c"),
    ],
)
def test_what_is_not_there_is_named(made, name, title, columns, said):
    with pytest.raises(typer.BadParameter, match=said):
        made.table(name, title, columns)
