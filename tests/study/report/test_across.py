"""The figure of several studies against what they differ in."""

import dataclasses

import pytest
from made import epoch, trial
from test_analysis import report

from study.report import across, page

STRENGTH = "dataset/bias_strength"


def study(name, strength, accuracies, seeds=(), **settings):
    config = {STRENGTH: strength}
    trials = [
        trial(f"{name}-{space}", [epoch(original=(0.9, 0.9), shuffled=(value, value))], space=space, **config)
        for space, value in accuracies.items()
    ]
    confirmed = [
        trial(f"{name}-{at}", [epoch(original=(0.9, 0.9), shuffled=(value, value))], stage="confirm", seed=at, **config)
        for at, value in enumerate(seeds, start=1)
    ]
    found = report(trials, confirmed, settings={STRENGTH: str(strength), **settings})
    return dataclasses.replace(found, name=name)


def line(figure, space, variant):
    axis = ["original", "shuffled"].index(variant)
    return [trace for trace in figure.data if trace.name == space][axis]


def test_studies_stand_in_the_order_of_the_number_they_differ_in_with_intervals_of_fresh_seeds():
    high = study("high", 1.0, {"erm": 0.5, "penalty": 0.8}, seeds=(0.3, 0.5))
    low = study("low", 0.5, {"erm": 0.7, "penalty": 0.9})
    ((title, figure),) = across.figures([high, low])
    assert title == "colored-digits: test accuracy by bias_strength"
    erm = line(figure, "erm", "shuffled")
    assert list(erm.x) == [0.5, 1.0]
    assert list(erm.y) == pytest.approx([70, 40])
    seeds = next(row for row in high.seed_rows if row.variant == "shuffled")
    assert list(erm.error_y.array) == pytest.approx([0, 100 * (seeds.high - seeds.mean)])
    assert list(line(figure, "penalty", "shuffled").y) == pytest.approx([90, 80])
    assert list(line(figure, "erm", "original").y) == pytest.approx([90, 90])


def test_studies_that_differ_in_more_or_in_nothing_that_is_a_setting_stand_under_their_names():
    exact, box = study("exact", 0.5, {"erm": 0.5}), study("box", 0.5, {"erm": 0.4})
    ((title, figure),) = across.figures([exact, box])
    assert title == "colored-digits: test accuracy by study"
    assert list(line(figure, "erm", "shuffled").x) == ["exact", "box"]
    other = study("other", 1.0, {"erm": 0.4}, **{"training/epochs": "3"})
    assert across.varied([exact, dataclasses.replace(other)])[0] == "bias_strength"
    assert across.varied([exact, box, other]) == ("study", ["exact", "box", "other"])


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["my-masks-exact", "my-masks-box", "my-masks-5"], ("my-masks", ["exact", "box", "5"])),
        (["masks-box", "masks-boxes"], ("masks", ["box", "boxes"])),
        (["masks-", "masks-box"], ("study", ["masks-", "masks-box"])),
        (["first", "fifth"], ("study", ["first", "fifth"])),
        (["masks", "masks-box"], ("study", ["masks", "masks-box"])),
    ],
)
def test_words_that_all_names_begin_with_are_told_once(names, shown):
    assert across.shared(names) == shown


def test_studies_of_different_datasets_or_spaces_and_single_ones_have_no_such_figure():
    one = study("one", 0.5, {"erm": 0.5})
    assert across.figures([one, study("two", 0.7, {"erm": 0.5, "penalty": 0.6})]) == []
    other = dataclasses.replace(one, config=dataclasses.replace(one.config, dataset="one-pixel-digits"))
    assert across.figures([one]) == []
    assert across.figures([one, other]) == []
    assert "test accuracy by" in page.page([one, study("two", 0.7, {"erm": 0.4})])
