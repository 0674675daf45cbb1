import pytest

from study.tracking.writer import first_line


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
