"""A database file with its tables, copied from one that was migrated once."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.storage.engine import Database
from gateway.storage.schema import migrate
from gateway.storage.store import SqlStore


@pytest.fixture(scope="session")
def template_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "gateway.db"
    path.touch()
    migrate(Database.at(f"sqlite:///{path}", read_only=False))
    return path


@pytest.fixture
def path(tmp_path: Path, template_file: Path) -> Path:
    """Return the path of a database that has its tables and nothing in them."""
    target = tmp_path / "gateway.db"
    shutil.copy(template_file, target)
    return target


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqlStore]:
    store = SqlStore.open(f"sqlite:///{path}")
    yield store
    await store.close()
