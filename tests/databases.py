"""Databases that have their tables and nothing in them, made once for each process of the tests.

Making the tables takes the migrations a fifth of a second, as often as not longer than the test
that needs them. What the migrations do has tests of its own.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from gateway.storage.engine import Database
from gateway.storage.schema import migrate


def put_database(path: Path) -> None:
    """Write the file of a SQLite database that no node has opened yet, in a folder that exists."""
    path.write_bytes(_empty())


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory(prefix="entente-") as folder:
        path = Path(folder) / "gateway.db"
        path.touch()
        migrate(Database.at(f"sqlite:///{path}", read_only=False))
        assert [file.name for file in Path(folder).iterdir()] == ["gateway.db"]  # no log beside it
        return path.read_bytes()
