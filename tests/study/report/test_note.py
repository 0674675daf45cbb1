"""Text of MLflow's pages about a study."""

from urllib.parse import quote

import pytest
from made import epoch, trial
from mlflow.utils.search_utils import SearchUtils
from test_analysis import report

from study.report.note import experiment_note, filters, study_note

RESULTS = {"original": (0.9, 0.8), "shuffled": (0.7, 0.625)}


@pytest.fixture
def found():
    trials = [trial(f"p{i}", [epoch(**RESULTS)], space="penalty", **{"method/weight": i}) for i in (1, 2)]
    seeds = [trial("s", [epoch(**RESULTS)], space="penalty", stage="confirm", **{"method/weight": 1, "seed": 3})]
    return report([*trials, trial("e", [epoch(**RESULTS)])], seeds)


def test_the_note_tells_what_won_and_leads_to_the_figures(found):
    note = study_note(found)
    assert "[Interactive figures](#/experiments/{experiment}/runs/{run}/artifacts/report/overview.html)" in note
    assert "| `penalty` | 80.00 | 62.50 |" in note


def test_filters_are_plain_and_their_links_hold_them(found):
    assert filters(found) == {
        "trials of the searches": "tags.stage = 'search'",
        "winners on shuffled": "tags.winner LIKE '%shuffled%'",
        "winners on fresh seeds": "tags.stage = 'confirm'",
        "trials of penalty": "tags.stage = 'search' and tags.space = 'penalty'",
        "trials of erm": "tags.stage = 'search' and tags.space = 'erm'",
    }
    assert "winners on fresh seeds" not in filters(report(found.trials))
    for note, first in ((study_note(found), f"tags.study = '{found.name}' and "), (experiment_note(found), "")):
        for name, runs in filters(found).items():
            assert f"- [{name}](#/experiments/{{experiment}}/runs?searchFilter={quote(first + runs)}): `" in note


def test_mlflow_takes_every_filter(found):
    for runs in filters(found).values():
        parsed = SearchUtils.parse_search_filter(runs)
        assert [part["type"] for part in parsed] == ["tag"] * len(runs.split(" and "))
