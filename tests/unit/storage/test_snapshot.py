"""Copies of a database, as backups hold them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.storage.engine import PAGE_BYTES
from gateway.storage.snapshot import copied, verify_copy


def _pages(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        size: int = connection.execute("PRAGMA page_size").fetchone()[0]
        return size


@pytest.mark.parametrize("page_bytes", [4_096, 8_192, PAGE_BYTES])
def test_a_copy_has_the_pages_of_this_version_whatever_the_database_has(
    tmp_path: Path, page_bytes: int
) -> None:
    path = tmp_path / "gateway.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {page_bytes}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE things (thing TEXT)")
        connection.execute("INSERT INTO things VALUES ('one')")
        with copied(path) as (copy, _):
            verify_copy(copy)
            with closing(sqlite3.connect(f"file:{copy}?mode=ro&immutable=1", uri=True)) as opened:
                assert opened.execute("SELECT thing FROM things").fetchall() == [("one",)]
            assert _pages(copy) == PAGE_BYTES
        assert _pages(path) == page_bytes
