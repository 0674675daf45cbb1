"""Options that a study records."""

import pytest
from pydantic import TypeAdapter

from study.record.config import StudyConfig
from study.space import compared, load_space


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("sqlite:///runs.db", "sqlite:///{here}/runs.db"),
        ("sqlite:////data/runs.db", "sqlite:////data/runs.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        (None, None),
    ],
)
def test_an_sqlite_file_means_the_same_from_every_folder(monkeypatch, tmp_path, asked, kept):
    monkeypatch.chdir(tmp_path)
    assert StudyConfig(tracking_uri=asked).tracking_uri == (kept and kept.format(here=tmp_path))


def test_paths_mean_the_same_from_every_folder_and_after_they_were_written(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = StudyConfig(spaces=("erm", "mine.py"), data="pictures", storage="shared")
    assert config.spaces == ("erm", str(tmp_path / "mine.py"))
    assert (config.data, config.storage) == (tmp_path / "pictures", str(tmp_path / "shared"))
    monkeypatch.chdir("/")
    kind = TypeAdapter(StudyConfig)
    assert kind.validate_json(kind.dump_json(config)) == config


def test_a_study_that_names_no_space_compares_the_declared_ones_with_the_first():
    config = StudyConfig()
    assert config.spaces == compared()
    assert config.baseline == compared()[0]
    assert [load_space(name).method.name() for name in config.spaces] == list(config.spaces)
