"""A database file with its tables."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.storage.store import SqlStore
from tests.databases import put_database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a database that has its tables and nothing in them."""
    target = tmp_path / "gateway.db"
    put_database(target)
    return target


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqlStore]:
    store = SqlStore.open(f"sqlite:///{path}")
    yield store
    await store.close()
