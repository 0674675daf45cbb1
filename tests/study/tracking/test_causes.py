"""Line of an error that is shown, and errors after which a message is sent again."""

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INVALID_PARAMETER_VALUE

from study.tracking.writer import first_line, refuses


def raised_from(cause, text):
    try:
        try:
            raise cause
        except Exception as error:
            raise RuntimeError(text) from error
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("no answer\nafter 3 attempts"), "no answer"),
        (
            RuntimeError(
                "(raised as a result of Query-invoked autoflush; consider using a session.no_autoflush block)\n"
                "(sqlite3.OperationalError) database is locked\n[SQL: UPDATE runs]\n(Background on this error at: x)"
            ),
            "(sqlite3.OperationalError) database is locked",
        ),
        (raised_from(OSError("disk I/O error"), "BAD_REQUEST: (None)"), "disk I/O error"),
        (raised_from(OSError("http://me:secret@host is gone"), ""), "http://me:***@host is gone"),
        (ConnectionError(), "ConnectionError"),
    ],
)
def test_the_line_shown_of_an_error_is_its_cause(error, line):
    assert first_line(error) == line


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("(sqlite3.IntegrityError) UNIQUE constraint failed: registered_model_aliases.name", False),
        ('(psycopg2.errors.UniqueViolation) duplicate key value violates unique constraint "aliases_pk"', False),
        ("(pymysql.err.IntegrityError) (1062, \"Duplicate entry 'model-best' for key 'PRIMARY'\")", False),
        ("(psycopg2.errors.StringDataRightTruncation) value too long for type character varying(256)", True),
    ],
)
def test_only_a_row_written_twice_is_no_refusal(text, refused):
    assert refuses(MlflowException(text, BAD_REQUEST)) == refused


def test_a_wrong_request_is_refused():
    assert refuses(MlflowException("Invalid value for parameter 'key'", INVALID_PARAMETER_VALUE))
