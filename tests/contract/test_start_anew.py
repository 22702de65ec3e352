"""What a new generation of the exchange logs asks of the store."""

from __future__ import annotations

import pytest

from gateway.core.entries import Collection
from gateway.core.generation import STRIDE
from gateway.core.receipt import ExceptionCode
from gateway.core.states import State
from gateway.ports import MessageRow, NewMessage, ReceiptDue, Step
from gateway.storage.store import SqlStore
from tests.contract.builders import LYON, identifier, incoming, outgoing
from tests.contract.test_recovery import except_at, receipt, sent, states, voids


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


# --- what may have arrived ---------------------------------------------------------------


async def rows(store: SqlStore, *words: str) -> list[MessageRow]:
    found = await store.read(lambda tx: tx.threads.rows([identifier(word) for word in words]))
    return [found[identifier(word)] for word in words]


async def expired(store: SqlStore) -> list[bytes]:
    now_ms = 10**9
    due = await store.read(lambda tx: tx.outbox.has_expired(now_ms))
    ended = await store.write(Step.EXPIRED, lambda tx: tx.outbox.expire(now_ms, limit=10))
    assert due == bool(ended)
    return [row.message_id for row in ended]


async def erase(store: SqlStore, word: str, *, certain_above: int = 0) -> None:
    (row,) = await rows(store, word)
    await store.write(
        Step.ERASED,
        lambda tx: tx.removal.erase(
            [row], at_ms=6_000, audit_index=7, logged=True, certain_above=certain_above
        ),
    )


async def test_what_may_have_arrived_does_not_expire_until_a_receipt_says_that_it_has_not(
    store: SqlStore,
) -> None:
    await sent(store, outgoing("a"))
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([outgoing("never sent")]))
    await store.write(Step.RECOVERED, lambda tx: tx.outbox.start_anew(0))

    (row,) = await rows(store, "a")
    assert row.is_unanswered
    # Where it stands in the generation that ended is still known.
    assert (row.state, row.log_index, row.sendings) == (State.ACCEPTED, 0, 0)
    assert await expired(store) == [identifier("never sent")]

    await store.write(Step.SEQUENCED, lambda tx: tx.outbox.mark_sent([(row.number, STRIDE + 4)], at_ms=5_000))
    lost = except_at(STRIDE + 4, ExceptionCode.CONTENT_LOST)
    assert await receipt(store, STRIDE, STRIDE + 10, lost) is True
    assert await expired(store) == [identifier("a")]


async def test_what_an_earlier_receipt_said_says_nothing_of_the_sending_that_it_did_not_answer(
    store: SqlStore,
) -> None:
    await sent(store, outgoing("a"))
    await receipt(store, 0, 1, except_at(0, ExceptionCode.CONTENT_LOST))
    (row,) = await rows(store, "a")
    assert not row.is_unanswered
    await store.write(Step.SEQUENCED, lambda tx: tx.outbox.mark_sent([(row.number, 3)], at_ms=5_000))

    await store.write(Step.RECOVERED, lambda tx: tx.outbox.start_anew(0))

    (row,) = await rows(store, "a")
    assert row.is_unanswered
    assert (row.exception, row.decided_ms) == (None, None)
    assert await expired(store) == []


async def test_in_a_log_that_is_not_whole_what_waits_may_have_arrived_as_well(store: SqlStore) -> None:
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([outgoing("a"), outgoing("later")]))
    first, _ = await rows(store, "a", "later")

    moved = await store.write(Step.RECOVERED, lambda tx: tx.outbox.start_anew(0, in_doubt=first.number))

    assert moved == 0
    assert [row.is_unanswered for row in await rows(store, "a", "later")] == [True, False]
    assert await expired(store) == [identifier("later")]


async def asked(store: SqlStore) -> list[tuple[int, int]]:
    return await store.read(lambda tx: tx.outbox.erased_anew(STRIDE, limit=10))


@pytest.mark.parametrize("waits", [False, True])
async def test_the_peer_is_asked_about_what_was_erased_on_its_way_by_its_old_entry(
    store: SqlStore, *, waits: bool
) -> None:
    """It was erased before the generation ended, or while it waits in the next one."""
    message = outgoing("a")
    await sent(store, message, outgoing("b"))
    if not waits:
        await erase(store, "a")
    await store.write(Step.RECOVERED, lambda tx: tx.outbox.start_anew(0))
    if waits:
        await erase(store, "a")
    (row,) = await rows(store, "a")
    assert (row.state, row.was, row.is_void) == (State.ERASED, State.SENT, False)
    assert await voids(store) == []
    assert await asked(store) == [(row.number, 0)]

    # That the log is whole says nothing of it.
    assert await store.write(Step.RECOVERED, lambda tx: tx.outbox.settle_erased()) == 0
    await store.write(
        Step.SEQUENCED, lambda tx: tx.outbox.mark_asked([(row.number, STRIDE + 2)], at_ms=7_000)
    )

    assert await asked(store) == []
    assert await store.read(lambda tx: tx.outbox.ciphertexts(STRIDE, STRIDE + 10)) == [None]
    assert await receipt(store, STRIDE, STRIDE + 10) is False
    (row,) = await rows(store, "a")
    assert (row.was, row.log_index, row.receipt_index) == (State.RECEIVED, STRIDE + 2, 9)
    assert await voids(store) == []


async def test_what_was_erased_on_its_way_and_has_not_arrived_is_void(store: SqlStore) -> None:
    message = outgoing("a")
    await sent(store, message)
    await erase(store, "a")
    await store.write(Step.RECOVERED, lambda tx: tx.outbox.start_anew(0))
    (row,) = await rows(store, "a")
    await store.write(Step.SEQUENCED, lambda tx: tx.outbox.mark_asked([(row.number, STRIDE)], at_ms=7_000))

    assert await receipt(store, STRIDE, STRIDE + 1, except_at(STRIDE, ExceptionCode.ERASED)) is True

    (row,) = await rows(store, "a")
    assert (row.was, row.is_void) == (State.REFUSED, True)
    assert await voids(store) == [(message.conversation_id, LYON, 1)]


async def test_what_was_refused_is_judged_anew(store: SqlStore) -> None:
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.put_refused([identifier("a")]))
    await store.write(Step.RECOVERED, lambda tx: tx.inbox.start_anew())
    assert await store.read(lambda tx: tx.inbox.refused([identifier("a")])) == set()


# --- erased before our log was whole -----------------------------------------------------


async def erased_in_doubt(store: SqlStore) -> tuple[NewMessage, MessageRow]:
    message = outgoing("a")
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([message]))
    (row,) = await rows(store, "a")
    await erase(store, "a", certain_above=row.number)
    (row,) = await rows(store, "a")
    return message, row


async def test_what_was_erased_in_doubt_is_void_once_the_log_is_whole_without_it(store: SqlStore) -> None:
    message, row = await erased_in_doubt(store)
    assert (row.state, row.was, row.is_void) == (State.ERASED, State.SENT, False)
    assert await voids(store) == []

    assert await store.write(Step.RECOVERED, lambda tx: tx.outbox.settle_erased()) == 1

    (row,) = await rows(store, "a")
    assert (row.was, row.is_void) == (State.ACCEPTED, True)
    assert await voids(store) == [(message.conversation_id, LYON, 1)]
    assert await store.write(Step.RECOVERED, lambda tx: tx.outbox.settle_erased()) == 0


async def test_what_was_erased_in_doubt_and_is_in_the_log_gets_the_receipt_that_it_had(
    store: SqlStore,
) -> None:
    _, row = await erased_in_doubt(store)

    await store.write(Step.RECOVERED, lambda tx: tx.outbox.recovered([(5, identifier("a"))], at_ms=8_000))

    assert await store.write(Step.RECOVERED, lambda tx: tx.outbox.settle_erased()) == 0
    (row,) = await rows(store, "a")
    assert (row.state, row.was, row.log_index) == (State.ERASED, State.DELIVERED, 5)
    assert await receipt(store, 0, 10) is False
    (row,) = await rows(store, "a")
    assert (row.was, row.receipt_index) == (State.RECEIVED, 9)
    assert await voids(store) == []
    assert await store.read(lambda tx: tx.outbox.count(State.ERASED)) == 1


async def test_a_number_that_was_taken_for_void_and_is_used_in_the_log_is_not_void(
    store: SqlStore,
) -> None:
    """An operator had vouched for the database, and the log turned out to hold more."""
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([outgoing("a")]))
    await erase(store, "a")

    await store.write(Step.RECOVERED, lambda tx: tx.outbox.recovered([(5, identifier("a"))], at_ms=8_000))

    assert await voids(store) == []
    (row,) = await rows(store, "a")
    assert not row.is_void
    assert await receipt(store, 0, 10) is False
    assert (await rows(store, "a"))[0].was is State.RECEIVED
