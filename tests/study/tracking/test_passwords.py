"""Passwords are neither printed nor written down."""

import json

import pytest

from bgbias.errors import SettingError
from study.tracking.delivery import first_line
from study.tracking.passwords import without_password
from study.tracking.reporter import check_tracking


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@host:5000/path", "http://me:***@host:5000/path"),
        ("postgresql+psycopg2://me:secret@host:5432/runs", "postgresql+psycopg2://me:***@host:5432/runs"),
        ("mysql://:secret@host", "mysql://:***@host"),
        ("https://me:a/b:c@d@host/", "https://me:***@host/"),
        ("API request to http://me:secret@host/api failed", "API request to http://me:***@host/api failed"),
        ("postgresql://host/runs?user=me&password=secret&x=1", "postgresql://host/runs?user=me&password=***&x=1"),
        ("mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3Dsecret", "mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3D***"),
        ('connection to "host" failed: password=secret host=h', 'connection to "host" failed: password=*** host=h'),
    ],
)
def test_a_password_becomes_stars(text, shown):
    assert without_password(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000",
        "http://me@host:5000/path",
        "sqlite:////data/a:b@c/runs.db",
        "postgresql+psycopg2://me@host:5432/runs",
        "password authentication failed for user me",
        "at 12:30 ask me@host",
    ],
)
def test_what_holds_no_password_stays(text):
    assert without_password(text) == text


def test_an_address_with_a_password_is_refused_with_the_way_out_before_a_folder_is_made(study, tmp_path):
    address, output = "postgresql+psycopg2://me:secret@host/runs", tmp_path / "output"
    code, out, err = study("run", "erm", "--tracking-uri", address, "--output", output)
    assert code == 2
    assert "must hold no password, but got 'postgresql+psycopg2://me:***@host/runs'" in err
    assert "PGPASSWORD" in err
    assert "secret" not in out + err
    assert not output.exists()


def test_the_message_about_a_wrong_scheme_holds_no_password():
    with pytest.raises(SettingError, match=r"but got 'ftp://me:\*\*\*@host'"):
        check_tracking("ftp://me:secret@host")


def test_an_error_on_the_way_is_told_in_a_line_without_passwords():
    error = RuntimeError("no answer from http://me:secret@host/api\nmore")
    assert first_line(error) == "no answer from http://me:***@host/api"
    assert first_line(RuntimeError()) == "RuntimeError"


def test_an_old_study_with_a_password_in_it_shows_none(study, tmp_path):
    address = "http://me:secret@host"
    (tmp_path / "study.json").write_text(json.dumps({"tracking_uri": address, "spaces": ["erm"]}))
    for command in ("ui", "resume"):
        _, out, err = study(command, tmp_path)
        assert "http://me:***@host" in err
        assert "secret" not in out + err
