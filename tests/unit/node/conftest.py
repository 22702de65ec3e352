"""A store, keys and a clock for the parts of the French node."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.catalogue import read_catalogue
from gateway.core.message.registry import Catalogue
from gateway.node.pair import Pair
from gateway.node.workers import Workers
from gateway.storage.store import SqlStore
from tests.world import WorldClock, WorldKeyring, pair_of


@pytest.fixture
async def store() -> AsyncIterator[SqlStore]:
    shm = Path("/dev/shm")  # fsync costs nothing there; durability has tests of its own
    folder = Path(tempfile.mkdtemp(prefix="node-", dir=shm if shm.is_dir() else None))
    store = SqlStore.open(f"sqlite:///{folder}/gateway.db")
    try:
        yield store
    finally:
        await store.close()
        shutil.rmtree(folder, ignore_errors=True)


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
