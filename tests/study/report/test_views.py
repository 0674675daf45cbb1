"""Saved views of MLflow's experiment page, and the notes that lead to them."""

import base64
import json
import zlib

import pytest
from made import epoch, trial
from test_analysis import report

from study.report.note import experiment_note, study_note, view_link
from study.report.views import views

RESULTS = {"original": (0.9, 0.8), "shuffled": (0.7, 0.625)}


@pytest.fixture
def found():
    trials = [trial(f"p{i}", [epoch(**RESULTS)], space="penalty", **{"method/weight": i}) for i in (1, 2)]
    seeds = [trial("s", [epoch(**RESULTS)], space="penalty", stage="confirm", **{"method/weight": 1, "seed": 3})]
    return report([*trials, trial("e", [epoch(**RESULTS)])], seeds)


def opened(view):
    """A view's name and state, read as MLflow's page does."""
    key, value = view.tag(created=7)
    assert key == f"mlflow.sharedViewState.{view.key}"
    envelope = json.loads(value)
    assert (envelope["createdAt"], envelope["updatedAt"]) == (7, 7)
    head, _, packed = envelope["state"].partition(";")
    assert head == "deflate"
    return envelope["name"], json.loads(zlib.decompress(base64.b64decode(packed)))


def test_every_question_has_a_view(found):
    assert [view.key for view in views(found)] == ["seeds", "methods", "trade-off", "training", "effects-penalty"]
    assert [view.key for view in views(report(found.trials))] == ["methods", "trade-off", "training", "effects-penalty"]


def test_methods_are_compared_by_their_spaces_best_on_validation_and_fresh_seeds_by_their_mean_on_test(found):
    seeds, methods = (opened(view)[1] for view in views(found)[:2])
    by_space = [{"mode": "tag", "groupByData": "space"}]
    assert methods["searchFilter"] == "tags.stage = 'search'"
    assert methods["groupBy"] == {"aggregateFunction": "max", "groupByKeys": by_space}
    assert [chart["metricKey"] for chart in methods["compareRunCharts"]] == [
        "best/val.original.accuracy",
        "best/val.shuffled.accuracy",
    ]
    assert seeds["searchFilter"] == "tags.stage = 'confirm'"
    assert seeds["groupBy"] == {"aggregateFunction": "average", "groupByKeys": by_space}
    assert seeds["selectedColumns"] == [
        "metrics.`best/test.original.accuracy`",
        "metrics.`best/test.shuffled.accuracy`",
    ]
    assert seeds["useGroupedValuesInCharts"]


def test_hyper_parameters_are_set_against_every_variant_run_by_run(found):
    name, state = opened(views(found)[-1])
    assert name == "What each hyper-parameter does: penalty"
    assert state["searchFilter"] == "tags.stage = 'search' and tags.space = 'penalty'"
    assert not state["useGroupedValuesInCharts"]
    original, shuffled, lines = state["compareRunCharts"]
    assert original["xaxis"] == {"key": "method/weight", "type": "PARAM"}
    assert original["yaxis"] == {"key": "best/val.original.accuracy", "type": "METRIC"}
    assert shuffled["yaxis"] == {"key": "best/val.shuffled.accuracy", "type": "METRIC"}
    assert lines["selectedParams"] == ["method/weight"]
    assert lines["selectedMetrics"] == ["best/val.shuffled.accuracy"]
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == {state["compareRunSections"][0]["uuid"]}


def test_a_view_fits_into_a_tag():
    names = {f"method/setting_{i}": i for i in range(12)}
    runs = [trial(str(i), [epoch(**RESULTS)], **{name: i * v + i for name, v in names.items()}) for i in range(3)]
    assert max(len(view.tag(0)[1]) for view in views(report(runs))) < 5000


def test_the_note_tells_what_won_and_leads_to_figures_and_views(found):
    note = study_note(found, views(found))
    assert "[Interactive figures](#/experiments/{experiment}/runs/{run}/artifacts/report/overview.html)" in note
    assert "| `penalty` | 80.00 | 62.50 |" in note
    for view in views(found):
        assert f"[{view.name}]({view_link(view)})" in note
        assert f"viewStateShareKey={view.key}&" in experiment_note(found, views(found))
