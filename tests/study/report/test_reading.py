"""A report in words: the command, Markdown and CSV."""

import csv
import io
import shlex

from made import epoch, trial
from test_analysis import report

from study.record.config import StudyConfig
from study.report import reading


def found(**config):
    trials = [trial("a", [epoch(original=(0.9, 0.95), shuffled=(0.3, 0.35))])]
    trials.append(trial("b", [epoch(original=(0.9, 0.93), shuffled=(0.8, 0.81))], space="mine", number=2))
    seeds = [trial(str(s), [epoch(original=(0.9, 0.9 + s / 100))], stage="confirm", seed=s) for s in (1, 2)]
    return report(trials, seeds, **config)


def test_the_command_asks_for_the_same_study():
    config = StudyConfig(
        spaces=("erm", "jtt"), trials=3, objectives=("val/shuffled/accuracy", "val/original/accuracy"),
        early_stopping=False, settings={"method/weight": 0.1, "dilation": None}, family=("*:shuffled",),
    )  # fmt: skip
    assert shlex.split(reading.command_of(config)) == [
        "study", "run", "erm", "jtt", "--trials", "3", "--objective", "val/shuffled/accuracy", "--objective",
        "val/original/accuracy", "--no-early-stopping", "--family", "*:shuffled", "--set", "method/weight=0.1",
        "--set", "dilation=none",
    ]  # fmt: skip


def test_markdown_holds_every_part_that_has_something_to_say():
    text = reading.markdown([found()])
    assert "| erm | **95.00** | 35.00 |" in text
    assert "| erm | 91.50 ± 0.71 | - |" in text
    headings = [line for line in text.splitlines() if line.startswith("### ")]
    assert headings == ["### Results", "### Protocol", "### Fairness", "### Repeat it"]
    assert "[bold]" not in text


def test_each_value_of_a_setting_has_the_mean_of_its_trials_at_their_best_validation_epochs():
    def made(name, form, *epochs):
        return trial(name, [epoch(shuffled=each) for each in epochs], **{"method/form": form})

    trials = [
        made("a", "plain", (0.9, 0.80), (0.1, 0.99)),
        made("b", "plain", (0.9, 0.84)),
        made("c", "rrr", (0.5, 0.50)),
    ]
    text = reading.markdown([report(trials)])
    assert "### Settings\n\nerm: test accuracy [%] of the trials with each value, mean ± standard deviation:" in text
    assert "| setting | trials | original | shuffled |" in text
    assert "| form = plain | 2 | - | 82.00 ± 2.83 |\n| form = rrr | 1 | - | 50.00 |" in text


def test_studies_merge_into_one_table_with_seeds_where_there_are_any():
    grid = reading.merged([found()])
    assert dict(grid.rows) == {
        "mine (colored-digits): erm": ["91.50 ± 0.71", "35.00"],
        "mine (colored-digits): mine": ["93.00", "81.00"],
    }


def test_csv_has_a_row_for_each_cell():
    rows = list(csv.DictReader(io.StringIO(reading.as_csv([found()]))))
    assert {tuple(row) for row in rows} == {("study", "table", "row", "column", "value")}
    table = "test accuracy [%], checkpoints selected on validation data"
    (cell,) = [row for row in rows if (row["row"], row["column"]) == ("mine", "shuffled") and table in row["table"]]
    assert (cell["study"], cell["value"]) == ("mine", "81.00")
