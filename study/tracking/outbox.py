"""A queue of messages on disk, between a study and MLflow: fast to append to, and no message is lost."""

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
    """A message in the outbox. `sent_at` is the time of its event, in milliseconds since 1970."""

    number: int
    sent_at: int
    message: AnyMessage


class Outbox:
    """An SQLite file of messages in the order of `put`. Several threads and processes may use it.

    `put` never waits for the disk: it writes to SQLite's log, which `tidy` merges into the file.

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
        """Replace all messages, including rejected ones, by those that the block puts: completely or not at all."""
        with self._use() as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("DELETE FROM message")
            database.execute("DELETE FROM rejected")
            yield

    def first(self, count: int, after: int = 0) -> list[Posted]:
        """Read the oldest messages whose number is above `after`, at most `count`."""
        query = "SELECT number, sent_at, kind, body FROM message WHERE number > ? ORDER BY number LIMIT ?"
        with self._use() as database:
            rows = database.execute(query, (after, count)).fetchall()
        return [Posted(number, sent_at, KINDS[kind].from_json(body)) for number, sent_at, kind, body in rows]

    def drop(self, numbers: Iterable[int]) -> None:
        """Delete messages that have arrived."""
        with self._use() as database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("DELETE FROM message WHERE number = ?", [(number,) for number in numbers])

    def reject(self, posted: Posted, reason: str) -> None:
        """Move a message that MLflow refuses to the rejected ones, with the reason."""
        message = posted.message
        row = (posted.number, posted.sent_at, type(message).__name__, message.to_json(), reason)
        with self._use() as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT OR REPLACE INTO rejected VALUES (?, ?, ?, ?, ?)", row)
            database.execute("DELETE FROM message WHERE number = ?", (posted.number,))

    def tidy(self) -> None:
        """Merge SQLite's log into the file, so that the log does not grow; others may put messages meanwhile."""
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
        """Give the database to one thread at a time; if the block fails, undo it and every block around it."""
        try:
            with self._lock, nullcontext() if self._database.in_transaction else self._database:
                yield self._database
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in UNWRITABLE:
                raise
            raise OutboxError(
                f"cannot write {self._file} ({error}): free space on its disk, then `study resume` continues"
            ) from None
