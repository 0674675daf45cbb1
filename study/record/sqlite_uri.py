"""SQLite files by the URIs that SQLAlchemy, and so MLflow, opens them by: SQLAlchemy's own type quotes them."""

from pathlib import Path

from sqlalchemy.engine.url import URL, make_url
from sqlalchemy.exc import ArgumentError

SQLITE, WITH_DRIVER = "sqlite", "sqlite+pysqlite"
"""Both mean the same to SQLAlchemy. For the first one alone, MLflow creates a folder with the URI's quoted name."""


def uri_of(file: Path) -> str:
    """The URI of an SQLite file."""
    return rendered(URL.create(SQLITE, database=str(file)))


def file_of(uri: str) -> Path | None:
    """File of an SQLite URI; None for other databases and for texts that are no URI of a database."""
    try:
        url = make_url(uri)
    except ArgumentError:
        return None
    return Path(url.database) if url.get_backend_name() == SQLITE and url.database else None


def absolute_uri(uri: str) -> str:
    """The URI with an SQLite file's path made absolute, so that it means the same from every folder."""
    file = file_of(uri)
    if file is None:
        return uri
    return rendered(make_url(uri).set(database=str(file.absolute())))


def rendered(url: URL) -> str:
    """A URL as text."""
    text = url.render_as_string(hide_password=False)
    return f"{WITH_DRIVER}{text.removeprefix(SQLITE)}" if url.drivername == SQLITE and "%" in text else text
