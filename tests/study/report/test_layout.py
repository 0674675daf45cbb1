"""Tables fit where they are shown, and nothing of them is cut."""

import pytest

from study import display
from study.report.layout import Grid, laid_out

VARIANTS = ("original", "mixed_same", "mixed_rand", "mixed_next", "only_fg", "no_fg", "only_bg_b", "only_bg_t")
METHODS = ("erm", "dynamic_replacement", "gradient_penalty")
TITLE = "imagenet9: test accuracy [%], checkpoints selected on validation data"
CELLS = {
    method: [f"{10 * row + column}.25 ± {row}.5{column}" for column in range(len(VARIANTS))]
    for row, method in enumerate(METHODS)
}


class Terminal:
    """Text that was written to a terminal."""

    encoding = "utf-8"

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def shown(monkeypatch, columns, environment=()):
    """Print a table on a terminal of so many columns."""
    for name in ("NO_COLOR", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name in environment:
        monkeypatch.setenv(name, "1")
    terminal = Terminal()
    monkeypatch.setattr(display.results, "_file", terminal)
    monkeypatch.setattr(display.results, "_width", columns)
    display.show_table(laid_out(Grid(TITLE, VARIANTS, CELLS)))
    return terminal.text


def whole(text):
    return all(part in text for part in (*VARIANTS, *METHODS, *(cell for cells in CELLS.values() for cell in cells)))


def test_a_file_has_every_method_on_one_line_without_box_characters(capsys):
    display.show_table(laid_out(Grid(TITLE, VARIANTS, CELLS)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == TITLE
    assert lines[1].split() == ["method", *VARIANTS]
    assert [line.split()[0] for line in lines[2:5]] == list(METHODS)
    assert all(cell in line for line, cells in zip(lines[2:5], CELLS.values(), strict=True) for cell in cells)
    assert "\033" not in "".join(lines)
    assert not set("".join(lines)) & set("─━│┃")


@pytest.mark.parametrize(
    ("columns", "head"), [(160, ["method", *VARIANTS]), (80, ["variant", *METHODS]), (46, ["variant", "method"])]
)
def test_on_a_narrow_terminal_variants_become_rows_and_nothing_is_cut(monkeypatch, columns, head):
    text = shown(monkeypatch, columns, ["NO_COLOR"])
    lines = [line.rstrip() for line in text.splitlines()]
    assert head in [line.split() for line in lines]
    assert whole(text)
    assert max(map(len, lines)) <= columns
    assert not set(text) & set("─━│┃")


def test_a_terminal_with_colours_has_a_line_under_the_heads(monkeypatch):
    assert "─" in shown(monkeypatch, 160)


def test_one_is_singular():
    assert (display.counted(1, "epoch"), display.counted(2_000, "epoch")) == ("1 epoch", "2,000 epochs")
