"""`study best`: on a variant, or from the front of the objectives."""

import pytest
from made import epoch

from study.record.config import StudyConfig
from study.record.epoch import EpochReport
from study.record.folder import SEARCH, StudyFolder

OBJECTIVES = ("val/shuffled/accuracy", "val/original/accuracy")


@pytest.fixture
def folder(tmp_path):
    """A finished study of two spaces: `shifted` is best on shuffled, `plain` on original, `worse` on neither."""
    made = StudyFolder(tmp_path / "study")
    with made.begun(StudyConfig(objectives=OBJECTIVES)):
        for name, space, original, shuffled in (
            ("shifted", "mine", 0.5, 0.9),
            ("worse", "mine", 0.4, 0.8),
            ("plain", "erm", 0.99, 0.2),
        ):
            made.start_trial(name, made.next_number(), space, SEARCH, {"method/name": "erm"})
            made.add_epoch(name, EpochReport(1, epoch(original=(original, 0.3), shuffled=(shuffled, 0.1))))
            made.finish_trial(name)
    return made.root


@pytest.mark.parametrize(
    ("options", "trial"),
    [
        ([], "shifted"),
        (["--prefer", "shuffled"], "shifted"),
        (["--prefer", "val/original/accuracy"], "plain"),
        (["--prefer", "original", "--space", "mine"], "shifted"),
        (["--variant", "original"], "plain"),
        (["--variant", "original", "--space", "mine"], "shifted"),
    ],
)
def test_the_best_checkpoint_is_chosen_from_the_front_or_on_a_variant(study, folder, options, trial):
    code, out, err = study("best", folder, *options)
    assert (code, err) == (0, "")
    assert f"trial {trial}, epoch 1" in " ".join(out.split())
    space = "erm" if trial == "plain" else "mine"
    assert str(folder / "best" / SEARCH / space / trial / "1") in out


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--prefer", "removed"], "unknown objective 'val/removed/accuracy'"),
        (["--space", "yours"], "unknown space 'yours'"),
        (["--variant", "removed"], "unknown variant 'removed'"),
    ],
)
def test_what_was_not_searched_is_refused_in_one_line(study, folder, options, rule):
    code, _, err = study("best", folder, *options)
    assert (code, err.count("\n")) == (2, 1)
    assert rule in err
