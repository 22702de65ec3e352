"""A store that is closed has let go of its files, whatever its callers were in the middle of."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.storage.store import SqlStore


async def test_a_scrubbing_that_its_caller_gave_up_is_over_when_the_store_is_closed(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / f"{number}.db"
        store = SqlStore.open(f"sqlite:///{path}")
        scrubbing = asyncio.create_task(store.scrub())
        await asyncio.sleep(0)
        scrubbing.cancel()

        await store.close()

        # The last connection that closes takes both along: here was none left.
        assert not path.with_name(path.name + "-wal").exists()
        assert not path.with_name(path.name + "-shm").exists()
