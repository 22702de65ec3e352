"""The world says that all is quiet only if it is: other tests restore backups at such a moment.

What a test takes for rest and is none shows up elsewhere, once in a thousand runs: a node that
has just signed an entry, and is restored before the entry has left it, rightly refuses to go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from gateway.ports import Transaction
from gateway.storage.store import SqlStore
from tests.world import World

T = TypeVar("T")


class Interrupted:
    """A store in whose reads something happens: between one look of a test and the next."""

    def __init__(self, store: SqlStore, happen: Callable[[], Awaitable[None]], *, after: int) -> None:
        self._store = store
        self._happen = happen
        self._left = after

    async def read(self, work: Callable[[Transaction], T]) -> T:
        value = await self._store.read(work)
        self._left -= 1
        if self._left == 0:
            await self._happen()
        return value

    async def close(self) -> None:
        await self._store.close()


async def heads(own: SqlStore, mirror: SqlStore, origin: str) -> tuple[int, int]:
    """Return the sizes of the French log and of its mirror, past whatever interrupts the world's looks."""
    sizes = []
    for store in (own, mirror):
        head = await store.read(lambda tx: tx.logs.head(origin))
        assert head is not None
        sizes.append(head.size)
    return sizes[0], sizes[1]


async def test_an_entry_that_is_appended_while_a_test_looks_is_waited_for(world: World) -> None:
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")
    await world.settle()
    side = world.sides["FR"]
    origin = side.keyring.pair.exchange_origin
    store, peer, gate = side.store, world.sides["US"].store, asyncio.Event()
    assert store is not None
    assert peer is not None

    async def collect() -> None:
        """Append an entry that does not reach the peer yet."""
        side.store = store
        side.faults.gate = gate
        before, _ = await heads(store, peer, origin)
        await world.node("FR").inbox.acknowledge(world.principal("FR"), message_id)
        await world.until(lambda: heads(store, peer, origin), lambda sizes: sizes[0] > before)

    # After the first look at the French node, whatever that look is.
    side.store = cast("SqlStore", Interrupted(store, collect, after=1))
    settling = asyncio.create_task(world.settle())
    await world.until(lambda: heads(store, peer, origin), lambda sizes: sizes[0] > sizes[1])
    for _ in range(50):
        await asyncio.sleep(0.002)
    assert not settling.done(), "the entry has not reached the peer"

    gate.set()
    await settling
    own, mirror = await heads(store, peer, origin)
    assert own == mirror
