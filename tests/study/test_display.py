"""Output on terminals and in files."""

import io

import pytest
from rich.table import Table

from study import display

PATH = "/a/path/of-many-letters"


@pytest.fixture
def shown():
    return io.StringIO()


@pytest.mark.parametrize(("no_color", "escapes"), [("", True), ("1", False)])
def test_no_color_leaves_out_bold_and_dim_text_too(monkeypatch, shown, no_color, escapes):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(display, "results", display.new_console(file=shown, force_terminal=True, width=80))
    display.results.print("[bold]best[/] [dim]settings[/] [red]error[/]")
    display.show_table(Table("method", title="accuracy"))
    assert ("\x1b[" in shown.getvalue()) == escapes
    assert shown.getvalue().isascii() != escapes, "box characters go with the colours"


def test_a_file_has_wide_tables_on_one_line_without_box_characters(monkeypatch, shown):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(display, "results", display.new_console(file=shown))
    table = Table("method", "accuracy")
    table.add_row("m" * 100, "97.12")
    display.show_table(table)
    assert shown.getvalue().splitlines()[1].split() == ["m" * 100, "97.12"]
    assert shown.getvalue().isascii()


@pytest.mark.parametrize(
    ("terminal", "expected"), [(True, ["a word,", "/a/path/of-many-letters", "42"]), (False, None)]
)
def test_a_line_is_broken_between_words_on_a_terminal_only(shown, terminal, expected):
    line = "a word, /a/path/of-many-letters 42"
    display.show_line(line, display.new_console(file=shown, force_terminal=terminal, width=10))
    assert [part.strip() for part in shown.getvalue().splitlines()] == (expected or [line])
