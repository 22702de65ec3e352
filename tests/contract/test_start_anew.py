"""What a new generation of the exchange logs asks of the store."""

from __future__ import annotations

from gateway.core.entries import Collection
from gateway.core.generation import STRIDE
from gateway.core.states import State
from gateway.ports import ReceiptDue, Step
from gateway.storage.store import SqlStore
from tests.contract.builders import identifier, incoming, outgoing
from tests.contract.test_recovery import receipt, sent, states, voids


async def test_what_no_receipt_speaks_of_waits_again_and_all_else_stays(store: SqlStore) -> None:
    await sent(store, outgoing("a"), outgoing("b"), outgoing("c"))
    await receipt(store, 0, 1)
    await store.write(Step.DELIVERED, lambda tx: tx.outbox.delivered(2, at_ms=3_000))
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([outgoing("d")]))
    assert await states(store, "a", "b", "c", "d") == [
        State.RECEIVED,
        State.DELIVERED,
        State.SENT,
        State.ACCEPTED,
    ]

    assert await store.write(Step.RECOVERED, lambda tx: tx.outbox.start_anew(0)) == 2

    assert await states(store, "a", "b", "c", "d") == [State.RECEIVED, *[State.ACCEPTED] * 3]
    waiting = await store.read(lambda tx: tx.outbox.waiting(limit=10, max_bytes=10**6))
    assert [item.message_id for item in waiting] == [identifier(word) for word in "bcd"]
    counted = await store.read(lambda tx: [tx.outbox.count(state) for state in (State.ACCEPTED, State.SENT)])
    assert counted == [3, 0]
    assert await voids(store) == []


async def test_a_message_that_waits_again_is_sent_in_the_next_generation(store: SqlStore) -> None:
    await sent(store, outgoing("a"))
    await store.write(Step.RECOVERED, lambda tx: tx.outbox.start_anew(0))
    (item,) = await store.read(lambda tx: tx.outbox.waiting(limit=10, max_bytes=10**6))
    await store.write(
        Step.SEQUENCED, lambda tx: tx.outbox.mark_sent([(item.number, STRIDE + 4)], at_ms=5_000)
    )

    # A receipt of the old generation does not reach it, one of the new generation does.
    await receipt(store, 0, 10)
    assert await states(store, "a") == [State.SENT]
    await receipt(store, STRIDE, STRIDE + 10)
    assert await states(store, "a") == [State.RECEIVED]


async def test_due_receipts_are_forgotten(store: SqlStore) -> None:
    due = ReceiptDue(start=3, count=2, root=identifier("root") * 2, decided_ms=1, exceptions=())  # type: ignore[arg-type]
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.put_receipt_due(due))
    assert len(await store.read(lambda tx: tx.inbox.due_receipts(limit=10))) == 1

    await store.write(Step.RECOVERED, lambda tx: tx.inbox.start_anew())

    assert await store.read(lambda tx: tx.inbox.due_receipts(limit=10)) == []


async def test_a_message_that_arrives_again_stands_at_its_new_place_and_its_collection_is_due(
    store: SqlStore,
) -> None:
    message = incoming("a", log_index=7)
    by = message.to_agencies[0]
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.insert([message]))
    await store.write(Step.COLLECTED, lambda tx: tx.inbox.acknowledge([identifier("a")], by, at_ms=2_000))
    old = await store.read(lambda tx: tx.inbox.due_collections(limit=10))
    await store.write(Step.SEQUENCED, lambda tx: tx.inbox.collections_logged(old, log_index=1))
    assert await store.read(lambda tx: tx.inbox.due_collections(limit=10)) == []

    await store.write(Step.MIRRORED, lambda tx: tx.inbox.arrived_again([(identifier("a"), 7, STRIDE + 3)]))

    assert await store.read(lambda tx: tx.inbox.due_collections(limit=10)) == [
        Collection(index=STRIDE + 3, agency=by, at_ms=2_000)
    ]
    row = (await store.read(lambda tx: tx.threads.rows([identifier("a")])))[identifier("a")]
    assert (row.log_index, row.state) == (STRIDE + 3, State.COLLECTED)
