"""What tests of outgoing messages put into a store and ask of it."""

from __future__ import annotations

from gateway.core.states import State
from gateway.ports import MessageRow, NewMessage, Step
from gateway.storage.store import SqlStore
from tests.contract.builders import LYON, identifier

LIMIT = 1 << 24


async def put(store: SqlStore, *messages: NewMessage) -> None:
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert(messages))


async def row(store: SqlStore, word: object, agency: str = LYON) -> MessageRow:
    found = await store.read(lambda tx: tx.outbox.find(identifier(word), agency))
    assert found is not None
    return found


async def counts(store: SqlStore) -> dict[State, int]:
    found = await store.read(lambda tx: {state: tx.outbox.count(state) for state in State})
    return {state: count for state, count in found.items() if count}


async def waiting(store: SqlStore, limit: int = 100, max_bytes: int = LIMIT) -> list[bytes]:
    found = await store.read(lambda tx: tx.outbox.waiting(limit=limit, max_bytes=max_bytes))
    # Whoever writes remembers what it stored, and gets the same.
    assert found == await store.write(
        Step.SEQUENCED, lambda tx: tx.outbox.waiting(limit=limit, max_bytes=max_bytes)
    )
    return [item.message_id for item in found]


def ids(*words: object) -> list[bytes]:
    return [identifier(word) for word in words]
