import pytest
from sqlalchemy import create_engine, text

from study.record import sqlite_uri

ODD = ["plain", "a b", "a?b", "run%201", "a#b", 'it\'s "so"', "ü中", "x" * 200, "a&b=c;d", "[/odd]"]


@pytest.mark.parametrize("name", ODD)
def test_a_store_lies_where_its_path_says(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir(parents=True)
    uri = sqlite_uri.uri_of(folder / "mlflow.db")
    engine = create_engine(uri)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE t (x)"))
    engine.dispose()
    assert (folder / "mlflow.db").is_file()
    assert uri.startswith("sqlite:///") or "%" in uri
    assert sqlite_uri.file_of(uri) == folder / "mlflow.db"
    assert sqlite_uri.absolute_uri(uri) == uri


def test_a_relative_file_is_anchored_and_what_is_no_file_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sqlite_uri.file_of(sqlite_uri.absolute_uri("sqlite:///runs.db")) == tmp_path / "runs.db"
    for uri in ("http://host:5000", "postgresql://me@host/runs", "sqlite://", "sqlite:runs.db", "databricks"):
        assert sqlite_uri.absolute_uri(uri) == uri
        assert sqlite_uri.file_of(uri) is None
