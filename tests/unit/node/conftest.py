"""A store, keys and a clock for the parts of the French node."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.catalogue import read_catalogue
from gateway.core.message.registry import Catalogue
from gateway.node.pair import Pair
from gateway.node.workers import Workers
from gateway.storage.store import SqlStore
from tests.databases import put_database
from tests.world import World, WorldClock, WorldKeyring, pair_of

# fsync costs nothing there; durability has tests of its own.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.fixture
async def store() -> AsyncIterator[SqlStore]:
    with tempfile.TemporaryDirectory(prefix="node-", dir=MEMORY) as folder:
        put_database(Path(folder) / "gateway.db")
        store = SqlStore.open(f"sqlite:///{folder}/gateway.db")
        yield store
        await store.close()


@pytest.fixture
def pair() -> Pair:
    return pair_of("FR")


@pytest.fixture
def keyring() -> WorldKeyring:
    return WorldKeyring("FR")


@pytest.fixture
def peer_keyring() -> WorldKeyring:
    return WorldKeyring("US")


@pytest.fixture
async def clock() -> WorldClock:
    return WorldClock()


@pytest.fixture
def catalogue() -> Catalogue:
    return read_catalogue()


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers()
    yield workers
    workers.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Two whole nodes, for parts whose neighbours are most of what they do."""
    with tempfile.TemporaryDirectory(prefix="world-", dir=MEMORY) as folder:
        async with World(Path(folder)) as world:
            yield world
