"""SQLite files by the URIs that SQLAlchemy, and so MLflow, opens them by: SQLAlchemy's own type quotes them."""

from pathlib import Path

from sqlalchemy.engine.url import URL, make_url
from sqlalchemy.exc import ArgumentError

SQLITE = "sqlite"


def uri_of(file: Path) -> str:
    """The URI of an SQLite file."""
    return URL.create(SQLITE, database=str(file)).render_as_string(hide_password=False)


def file_of(uri: str) -> Path | None:
    """The file that an SQLite URI names; None for other databases and for what is no such URI."""
    try:
        url = make_url(uri)
    except ArgumentError:
        return None
    return Path(url.database) if url.get_backend_name() == SQLITE and url.database else None


def anchored(uri: str) -> str:
    """The URI with an SQLite file's path made absolute, so that it means the same from every folder."""
    file = file_of(uri)
    if file is None:
        return uri
    return make_url(uri).set(database=str(file.absolute())).render_as_string(hide_password=False)
