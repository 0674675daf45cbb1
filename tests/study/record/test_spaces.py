"""The spaces that a study recorded when it began."""

import json

import pytest

from bgbias.errors import CheckpointError
from study.record.config import StudyConfig
from study.record.folder import StudyFolder
from study.space import change_since
from study.study import plan, say_changes

SPACE = """from optuna.distributions import FloatDistribution

from bgbias.methods.erm import Erm
from study.space import SearchSpace

SPACE = SearchSpace(method=Erm, params={"training/learning_rate": FloatDistribution(1e-4, HIGH, log=True)})
"""


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "mine.py"
    made.write_text(SPACE.replace("HIGH", "1e-2"))
    return made


@pytest.fixture
def begun(tmp_path, file):
    """A study that began with the space, and a space of this project."""
    folder = StudyFolder(tmp_path / "study")
    folder.create(StudyConfig(spaces=(str(file), "erm", "static_replacement+gradient_penalty")))
    return folder


def highest(folder):
    """The largest learning rate that a resumed study searches."""
    config = folder.read_config()
    return plan(config, folder.spaces()).spaces["mine"].params["training/learning_rate"].high


def test_a_resumed_study_searches_what_it_began_with_and_says_what_changed(begun, file, capsys):
    file.write_text(SPACE.replace("HIGH", "1e-1"))
    assert highest(begun) == 1e-2
    say_changes(begun.read_config(), begun.spaces())
    told = " ".join(capsys.readouterr().err.split())
    assert f"the space {file} has changed (training/learning_rate was FloatDistribution(high=0.01" in told
    assert "and is FloatDistribution(high=0.1" in told
    assert "continues with the recorded one" in told
    assert "the space erm" not in told


def test_a_space_file_that_was_moved_blocks_no_study(begun, file, capsys):
    file.unlink()
    assert highest(begun) == 1e-2
    say_changes(begun.read_config(), begun.spaces())
    assert "cannot be loaded any more (no search space at" in " ".join(capsys.readouterr().err.split())


def test_a_comment_is_no_change(file, begun):
    file.write_text(f"# the same\n{file.read_text()}")
    assert change_since(str(file), begun.spaces()) is None


def test_the_text_and_its_checksum_are_in_the_record(begun, file):
    assert (begun.root / "spaces" / "mine.py").read_text() == file.read_text()
    assert json.loads((begun.root / "spaces" / "sha256.json").read_text()).keys() == {
        "mine.py",
        "erm.py",
        "static_replacement.py",
        "gradient_penalty.py",
    }
    (begun.root / "spaces" / "mine.py").write_text(SPACE.replace("HIGH", "1"))
    with pytest.raises(CheckpointError, match=r"spaces/mine.py is missing or damaged \(its checksum differs\)"):
        begun.spaces()


def test_a_study_of_an_older_version_takes_its_spaces_by_name(begun):
    for recorded in (begun.root / "spaces").iterdir():
        recorded.unlink()
    (begun.root / "spaces").rmdir()
    assert begun.spaces() is None
    assert highest(begun) == 1e-2
