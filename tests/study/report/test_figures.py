"""What the figures show, read back from what was drawn."""

import dataclasses

import pytest
from made import epoch, trial
from matplotlib.colors import to_rgba
from test_analysis import report

from study.report.figures import differences, draw
from study.report.statistics import Comparison


@pytest.fixture
def compared():
    trials = [
        trial(space, [epoch(original=(0.9, 0.8), shuffled=(0.5, 0.4))], space=space, number=i)
        for i, space in enumerate(("erm", "mine", "other"))
    ]
    rows = [
        Comparison("original", "mine", "erm", difference=-0.02, low=-0.05, high=0.01, p=0.2, holm=0.2),
        Comparison("original", "other", "erm", difference=0.03, low=0.01, high=0.05, p=0.01, holm=0.02),
        Comparison("shuffled", "mine", "erm", difference=0.10, low=0.06, high=0.14, p=0.001, holm=0.001),
    ]
    return dataclasses.replace(report(trials), comparisons=rows)


def test_differences_are_drawn_in_points_with_their_intervals(compared):
    (axes,) = differences(compared).axes
    mine, other = axes.collections[1], axes.collections[3]
    assert mine.get_offsets()[:, 0].tolist() == pytest.approx([-2, 10])
    assert other.get_offsets()[:, 0].tolist() == pytest.approx([3])
    ends = [[x for x, _ in line] for line in axes.collections[0].get_segments()]
    assert ends == [pytest.approx([-5, 1]), pytest.approx([6, 14])]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["original", "shuffled"]
    below = mine.get_offsets()[:, 1].tolist()
    assert [round(place) for place in below] == [0, 1]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_only_significant_marks_are_full(compared):
    (axes,) = differences(compared).axes
    shown = [[tuple(color) for color in axes.collections[i].get_facecolors()] for i in (1, 3)]
    assert shown == [[to_rgba("white"), to_rgba("C1")], [to_rgba("C2")]]


def test_without_comparisons_there_is_no_figure_of_them(compared, tmp_path):
    assert [path.name for path in draw(compared, tmp_path / "some")][-1] == "differences.png"
    none = dataclasses.replace(compared, comparisons=[])
    assert "differences.png" not in [path.name for path in draw(none, tmp_path / "none")]
