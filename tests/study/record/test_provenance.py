import platform

from study.record.provenance import origin


def test_runs_say_who_ran_them_and_where(monkeypatch):
    monkeypatch.setenv("LOGNAME", "anna")
    assert origin()["mlflow.user"] == "anna"
    assert origin()["host"] == platform.node()


def test_who_has_no_name_is_told_by_number(monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321)
    assert origin()["mlflow.user"] == "54321"


def test_mlflows_version_column_shows_the_commit():
    found = origin()
    assert found.get("mlflow.source.git.commit") == found.get("commit")
