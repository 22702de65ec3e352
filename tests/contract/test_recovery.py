"""What a restored backup asks of the store: the peer's, or this node's own."""

from __future__ import annotations

import pytest

from gateway.core.entries import Collection, ReceiptException
from gateway.core.receipt import MAX_SENDINGS, ExceptionCode
from gateway.core.states import State
from gateway.ports import NewMessage, Step
from gateway.storage.store import SqlStore
from tests.contract.builders import BOSTON, LYON, NEWARK, identifier, outgoing, send


async def sent(store: SqlStore, *messages: NewMessage, start: int = 0) -> None:
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert(messages))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, start))


async def receipt(store: SqlStore, start: int, end: int, *exceptions: ReceiptException) -> bool:
    return await store.write(
        Step.MIRRORED,
        lambda tx: tx.outbox.received(
            start=start, end=end, decided_ms=5_000, receipt_index=9, exceptions=exceptions
        ),
    )


async def states(store: SqlStore, *words: str) -> list[State]:
    rows = await store.read(lambda tx: tx.threads.rows([identifier(word) for word in words]))
    return [rows[identifier(word)].state for word in words]


async def voids(store: SqlStore) -> list[tuple[bytes, str, int]]:
    return await store.write(Step.SEQUENCED, lambda tx: tx.outbox.take_voids(limit=100))


def except_at(index: int, code: int, rule: int | None = None) -> ReceiptException:
    return ReceiptException(index=index, code=code, rule=rule)


# --- what a receipt makes due ------------------------------------------------------------


async def test_a_receipt_without_exceptions_makes_nothing_due(store: SqlStore) -> None:
    await sent(store, outgoing("a"), outgoing("b"))

    assert await receipt(store, 0, 2) is False
    assert await voids(store) == []


async def test_a_message_that_is_sent_again_is_due_and_its_number_is_not_void(store: SqlStore) -> None:
    await sent(store, outgoing("a"), outgoing("b"))

    assert await receipt(store, 0, 2, except_at(1, ExceptionCode.CONTENT_LOST)) is True
    assert await states(store, "a", "b") == [State.RECEIVED, State.ACCEPTED]
    assert await voids(store) == []


@pytest.mark.parametrize("code", [ExceptionCode.RULE, ExceptionCode.EXPIRED, ExceptionCode.ERASED, 99])
async def test_the_number_of_a_message_that_ends_is_void_and_due_to_be_logged(
    store: SqlStore, code: int
) -> None:
    message = outgoing("a", seq=4)
    await sent(store, message)

    assert await receipt(store, 0, 1, except_at(0, code)) is True
    assert await voids(store) == [(message.conversation_id, LYON, 4)]
    rows = await store.read(lambda tx: tx.threads.rows([identifier("a")]))
    assert rows[identifier("a")].delivered_ms == 5_000, "a receipt proves delivery, whatever it says"


async def test_the_number_of_a_duplicate_is_used_by_its_first_copy(store: SqlStore) -> None:
    await sent(store, outgoing("a"))

    assert await receipt(store, 0, 1, except_at(0, ExceptionCode.DUPLICATE)) is False
    assert await states(store, "a") == [State.REFUSED]
    assert await voids(store) == []


async def test_a_second_receipt_for_an_ended_message_makes_nothing_due(store: SqlStore) -> None:
    await sent(store, outgoing("a"))
    await receipt(store, 0, 1, except_at(0, ExceptionCode.RULE, 3))
    await voids(store)

    assert await receipt(store, 0, 1, except_at(0, ExceptionCode.CONTENT_LOST)) is False
    assert await states(store, "a") == [State.REFUSED]


# --- the peer was restored -----------------------------------------------------------------


async def test_what_the_peer_lost_is_sent_and_no_longer_delivered_or_received(store: SqlStore) -> None:
    await sent(store, outgoing("below"), outgoing("delivered"), outgoing("received"))
    await store.write(Step.DELIVERED, lambda tx: tx.outbox.delivered(3, at_ms=4_000))
    await receipt(store, 0, 1)
    await receipt(store, 2, 3)

    moved = await store.write(Step.RECOVERED, lambda tx: tx.outbox.rolled_back(1))

    assert moved == 2
    assert await states(store, "below", "delivered", "received") == [
        State.RECEIVED,
        State.SENT,
        State.SENT,
    ]
    rows = await store.read(lambda tx: tx.threads.rows([identifier("received")]))
    row = rows[identifier("received")]
    assert (row.delivered_ms, row.decided_ms, row.receipt_index) == (None, None, None)
    assert row.log_index == 2
    counts = await store.read(lambda tx: (tx.outbox.count(State.SENT), tx.outbox.count(State.RECEIVED)))
    assert counts == (2, 1)


async def test_what_the_peer_lost_is_delivered_and_received_once_more(store: SqlStore) -> None:
    await sent(store, outgoing("a"), outgoing("b"))
    await store.write(Step.DELIVERED, lambda tx: tx.outbox.delivered(2, at_ms=4_000))
    await receipt(store, 0, 2)
    await store.write(Step.RECOVERED, lambda tx: tx.outbox.rolled_back(0))

    assert await store.write(Step.DELIVERED, lambda tx: tx.outbox.delivered(2, at_ms=6_000)) == 2
    assert await receipt(store, 0, 2, except_at(1, ExceptionCode.CONTENT_LOST)) is True
    assert await states(store, "a", "b") == [State.RECEIVED, State.ACCEPTED]


async def test_collected_and_ended_messages_stay_as_they_are(store: SqlStore) -> None:
    await sent(
        store, outgoing("collected"), outgoing("refused"), outgoing("half", to_agencies=(NEWARK, BOSTON))
    )
    await receipt(store, 0, 3, except_at(1, ExceptionCode.RULE, 3))
    collections = [Collection(index=0, agency=NEWARK, at_ms=7), Collection(index=2, agency=NEWARK, at_ms=7)]
    await store.write(Step.MIRRORED, lambda tx: tx.outbox.collected(collections, log_index=8))

    assert await store.write(Step.RECOVERED, lambda tx: tx.outbox.rolled_back(0)) == 1
    assert await states(store, "collected", "refused", "half") == [
        State.COLLECTED,
        State.REFUSED,
        State.SENT,
    ]


async def test_a_message_that_was_sent_again_since_is_judged_by_its_newest_entry(store: SqlStore) -> None:
    await sent(store, outgoing("a"))
    await receipt(store, 0, 1, except_at(0, ExceptionCode.CONTENT_LOST))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 5))
    await receipt(store, 5, 6)

    assert await store.write(Step.RECOVERED, lambda tx: tx.outbox.rolled_back(6)) == 0
    assert await store.write(Step.RECOVERED, lambda tx: tx.outbox.rolled_back(1)) == 1


async def test_a_message_is_sent_three_times_more_and_then_refused(store: SqlStore) -> None:
    message = outgoing("a", seq=2)
    await sent(store, message)
    for count in range(MAX_SENDINGS):
        due = await receipt(store, count, count + 1, except_at(count, ExceptionCode.KEM_KEY_GONE))
        assert due is True
        if count < MAX_SENDINGS - 1:
            assert await states(store, "a") == [State.ACCEPTED]
            assert await voids(store) == []
            await store.write(Step.SEQUENCED, lambda tx, at=count + 1: send(tx, at))  # type: ignore[misc]

    assert await states(store, "a") == [State.REFUSED]
    assert await voids(store) == [(message.conversation_id, LYON, 2)]
