"""A world for each test, on memory-backed disk where there is one."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.world import World

# fsync costs nothing there; durability has tests of its own.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory(prefix="world-", dir=MEMORY) as folder:
        async with World(Path(folder)) as world:
            yield world
