"""A queue on disk between the study and whatever it reports to: put is quick, nothing put is lost."""

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from study.errors import OutboxError
from study.record.provenance import now
from study.tracking.messages import KINDS, AnyMessage

TABLES = """
CREATE TABLE IF NOT EXISTS message (number INTEGER PRIMARY KEY AUTOINCREMENT, sent_at INTEGER, kind TEXT, body TEXT);
CREATE TABLE IF NOT EXISTS rejected (number INTEGER PRIMARY KEY, sent_at INTEGER, kind TEXT, body TEXT, reason TEXT);
"""
UNWRITABLE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


class Posted(NamedTuple):
    """A message in the outbox. `sent_at` is when it happened, in milliseconds since 1970."""

    number: int
    sent_at: int
    message: AnyMessage


class Outbox:
    """An SQLite file of messages in the order they were put. Safe to use from several threads and processes.

    Putting never waits for the disk: the log of what was written is folded into the file by `tidy`.

    Raises:
        OutboxError: from every method, if the disk is full.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._lock = file, threading.RLock()
        self._database = sqlite3.connect(file, timeout=60, check_same_thread=False, isolation_level=None)
        with self._use() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            database.execute("PRAGMA wal_autocheckpoint=0")
            database.executescript(TABLES)

    def put(self, message: AnyMessage, at: int | None = None) -> None:
        """Append a message.

        Args:
            at: its `sent_at`; None is now.
        """
        row = (now() if at is None else at, type(message).__name__, message.to_json())
        with self._use() as database:
            database.execute("INSERT INTO message (sent_at, kind, body) VALUES (?, ?, ?)", row)

    @contextmanager
    def refilled(self) -> Iterator[None]:
        """Replace all messages, the rejected too, by those that the block puts; all of it happens or nothing."""
        with self._use() as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("DELETE FROM message")
            database.execute("DELETE FROM rejected")
            yield

    def first(self, count: int, after: int = 0) -> list[Posted]:
        """The oldest messages, `count` at most, whose number is above `after`."""
        query = "SELECT number, sent_at, kind, body FROM message WHERE number > ? ORDER BY number LIMIT ?"
        with self._use() as database:
            rows = database.execute(query, (after, count)).fetchall()
        return [Posted(number, sent_at, KINDS[kind].from_json(body)) for number, sent_at, kind, body in rows]

    def drop(self, numbers: Iterable[int]) -> None:
        """Forget messages: they have arrived."""
        with self._use() as database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("DELETE FROM message WHERE number = ?", [(number,) for number in numbers])

    def reject(self, posted: Posted, reason: str) -> None:
        """Put a message aside that can never arrive, with why."""
        message = posted.message
        row = (posted.number, posted.sent_at, type(message).__name__, message.to_json(), reason)
        with self._use() as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT OR REPLACE INTO rejected VALUES (?, ?, ?, ?, ?)", row)
            database.execute("DELETE FROM message WHERE number = ?", (posted.number,))

    def tidy(self) -> None:
        """Fold the log of what was written into the file, so that it does not grow. Others may put meanwhile."""
        with self._use() as database:
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def __len__(self) -> int:
        return self._count("message")

    def rejected(self) -> int:
        """Count the messages that MLflow refused."""
        return self._count("rejected")

    def _count(self, table: str) -> int:
        with self._use() as database:
            count: int = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return count

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        """The database for one thread at a time; what fails half-way is undone, with all that surrounds it."""
        try:
            with self._lock, nullcontext() if self._database.in_transaction else self._database:
                yield self._database
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in UNWRITABLE:
                raise
            raise OutboxError(
                f"cannot write {self._file} ({error}): free space on its disk, then `study resume` continues"
            ) from None
