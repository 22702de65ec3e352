"""Databases that have their tables and nothing in them, made once for each process of the tests.

Making the tables takes the migrations a fifth of a second, as often as not longer than the test
that needs them. What the migrations do has tests of its own.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

from gateway.storage.engine import Database
from gateway.storage.runs import pack, unpack
from gateway.storage.schema import migrate


def put_database(path: Path) -> None:
    """Write the file of a SQLite database that no node has opened yet, in a folder that exists."""
    path.write_bytes(_empty())


def unpacked(database: sqlite3.Connection) -> list[tuple[int, int, bytes]]:
    """Return every entry of every log with log and index, in order."""
    return [
        (log, index, entry)
        for log, start, count, packed in database.execute("SELECT * FROM runs ORDER BY log_id, start")
        for index, entry in enumerate(unpack(packed, count), start)
    ]


@contextmanager
def tampering(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database of a stopped node as somebody with access to its file can.

    The triggers are gone. The table ``entries`` holds every entry with log and index, to be
    edited, removed and moved; whatever it holds at the end is packed again, each entry by itself.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        before = unpacked(database)
        database.execute("CREATE TEMP TABLE entries (log_id, leaf_index, entry, UNIQUE (log_id, leaf_index))")
        database.executemany("INSERT INTO entries VALUES (?, ?, ?)", before)
        yield database
        after = database.execute("SELECT * FROM entries ORDER BY log_id, leaf_index").fetchall()
        if after != before:
            database.execute("DELETE FROM runs")
            rows = [(log, index, 1, pack([entry])) for log, index, entry in after]
            database.executemany("INSERT INTO runs VALUES (?, ?, ?, ?)", rows)


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory(prefix="entente-") as folder:
        path = Path(folder) / "gateway.db"
        path.touch()
        migrate(Database.at(f"sqlite:///{path}", read_only=False))
        assert [file.name for file in Path(folder).iterdir()] == ["gateway.db"]  # no log beside it
        return path.read_bytes()
