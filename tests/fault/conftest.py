"""A world for each test, on memory-backed disk where there is one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    shm = Path("/dev/shm")  # noqa: S108 - fsync costs nothing there; durability has tests of its own
    folder = Path(tempfile.mkdtemp(prefix="world-", dir=shm if shm.is_dir() else None))
    try:
        async with World(folder) as world:
            yield world
    finally:
        shutil.rmtree(folder, ignore_errors=True)
