"""A queue on disk between the study and whatever it reports to: put is quick, nothing put is lost."""

import json
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple


class Message(NamedTuple):
    """One thing to send. `sent_at` is milliseconds since 1970, stamped once when it was put."""

    number: int
    sent_at: int
    kind: str
    body: dict[str, Any]


class Outbox:
    """An SQLite file of messages in the order they were put. Safe to use from several threads."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(file, timeout=60, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS message"
            " (number INTEGER PRIMARY KEY AUTOINCREMENT, sent_at INTEGER, kind TEXT, body TEXT)"
        )
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS rejected"
            " (number INTEGER PRIMARY KEY, sent_at INTEGER, kind TEXT, body TEXT, reason TEXT)"
        )

    def put(self, kind: str, **body: Any) -> None:
        """Append a message."""
        row = (int(time.time() * 1000), kind, json.dumps(body))
        with self._lock:
            self._database.execute("INSERT INTO message (sent_at, kind, body) VALUES (?, ?, ?)", row)

    def first(self, count: int) -> list[Message]:
        """The oldest messages, `count` at most."""
        query = "SELECT number, sent_at, kind, body FROM message ORDER BY number LIMIT ?"
        with self._lock:
            rows = self._database.execute(query, (count,)).fetchall()
        return [Message(number, sent_at, kind, json.loads(body)) for number, sent_at, kind, body in rows]

    def drop(self, through: int) -> None:
        """Forget every message up to this number: they have arrived."""
        with self._lock:
            self._database.execute("DELETE FROM message WHERE number <= ?", (through,))

    def reject(self, message: Message, reason: str) -> None:
        """Put a message aside that can never arrive, with why."""
        row = (message.number, message.sent_at, message.kind, json.dumps(message.body), reason)
        with self._lock:
            self._database.execute("INSERT OR REPLACE INTO rejected VALUES (?, ?, ?, ?, ?)", row)
            self._database.execute("DELETE FROM message WHERE number = ?", (message.number,))

    def __len__(self) -> int:
        with self._lock:
            count: int = self._database.execute("SELECT count(*) FROM message").fetchone()[0]
        return count

    def close(self) -> None:
        """Close the file."""
        self._database.close()
