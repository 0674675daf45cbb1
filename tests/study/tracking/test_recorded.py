"""A study's record in MLflow."""

from dataclasses import replace

from made import trial

from study.tracking.recorded import trial_tags


def test_a_trials_tags_tell_how_to_group_it_and_what_it_began_with():
    settings = {"method/name": "erm", "dataset/name": "colored-digits", "seed": 3}
    found = replace(trial("a", [], space="mine"), config=settings, origin={"version/torch": "2.11"})
    asked = {"method": "erm", "dataset": "colored-digits", "seed": "3", "stage": "search", "space": "mine"}
    assert trial_tags(found) == {**asked, "version/torch": "2.11"}
