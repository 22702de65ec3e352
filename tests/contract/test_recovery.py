"""What a restored backup asks of the store: the peer's, or this node's own."""

from __future__ import annotations

import pytest

from gateway.core.entries import Collection, ReceiptException
from gateway.core.merkle import Hash
from gateway.core.receipt import MAX_SENDINGS, ExceptionCode
from gateway.core.states import State
from gateway.errors import StoreError
from gateway.ports import MessageRow, NewMessage, ReceiptDue, Step, Transaction
from gateway.storage.store import SqlStore
from tests.contract.builders import BOSTON, LYON, NEWARK, NICE, identifier, outgoing, send


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


async def test_what_waits_under_numbers_of_a_conversation_is_found(store: SqlStore) -> None:
    talk = identifier("talk")
    own = [outgoing(n, conversation_id=talk, seq=n) for n in range(1, 5)]
    others = [
        outgoing("elsewhere", seq=2),
        outgoing("nice", conversation_id=talk, seq=2, from_agency=NICE),
    ]
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([*own, *others]))
    await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.withdraw(own[2].message_id, LYON))
    found = await store.read(lambda tx: tx.outbox.waiting_under(talk, LYON, [2, 3, 4, 700]))
    assert sorted(found) == sorted([own[1].message_id, own[3].message_id])


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


async def test_what_the_peer_lost_is_sent_and_what_was_known_of_its_arrival_stays(store: SqlStore) -> None:
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
    assert row.was_received
    assert row.is_unanswered
    assert (row.delivered_ms, row.decided_ms, row.receipt_index) == (4_000, 5_000, 9)
    assert row.log_index == 2
    counts = await store.read(lambda tx: (tx.outbox.count(State.SENT), tx.outbox.count(State.RECEIVED)))
    assert counts == (2, 1)


async def rolled_back(store: SqlStore) -> None:
    """Let the peer receive a message, and lose it."""
    await sent(store, outgoing("a"))
    await store.write(Step.DELIVERED, lambda tx: tx.outbox.delivered(1, at_ms=4_000))
    await receipt(store, 0, 1)
    await store.write(Step.RECOVERED, lambda tx: tx.outbox.rolled_back(0))


async def row_of(store: SqlStore, word: str) -> MessageRow:
    return (await store.read(lambda tx: tx.threads.rows([identifier(word)])))[identifier(word)]


async def test_what_was_received_and_is_asked_for_again_waits_and_does_not_expire(store: SqlStore) -> None:
    await rolled_back(store)

    assert await receipt(store, 0, 1, except_at(0, ExceptionCode.CONTENT_LOST)) is True
    row = await row_of(store, "a")
    assert (row.state, row.was_received, row.log_index, row.receipt_index) == (State.ACCEPTED, True, 0, 9)
    assert not await store.read(lambda tx: tx.outbox.has_expired(row.expires_ms + 1))
    counts = await store.read(lambda tx: (tx.outbox.count(State.ACCEPTED), tx.outbox.count(State.SENT)))
    assert counts == (1, 0)


async def sent_again(store: SqlStore, number: int, place: int) -> None:
    await store.write(Step.SEQUENCED, lambda tx: tx.outbox.mark_sent([(number, place)], at_ms=8_000))


async def collected_by(store: SqlStore, collection: Collection) -> None:
    await store.write(Step.MIRRORED, lambda tx: tx.outbox.collected([collection], log_index=10))


async def collected(store: SqlStore) -> None:
    """Let two agencies of the peer have a message of whose content the peer knows nothing any more."""
    await sent(store, outgoing("a", to_agencies=(BOSTON, NEWARK)))
    await receipt(store, 0, 1)
    for agency in (BOSTON, NEWARK):
        await collected_by(store, Collection(index=0, agency=agency, at_ms=7_000))
    assert await states(store, "a") == [State.COLLECTED]


async def test_what_was_collected_stays_so_until_it_is_asked_for(store: SqlStore) -> None:
    await collected(store)

    assert await store.write(Step.RECOVERED, lambda tx: tx.outbox.rolled_back(0)) == 0
    assert await states(store, "a") == [State.COLLECTED]
    assert await receipt(store, 0, 1, except_at(0, ExceptionCode.CONTENT_LOST)) is True
    row = await row_of(store, "a")
    assert (row.state, row.was_received, row.receipt_index) == (State.ACCEPTED, True, 9)
    assert not await store.read(lambda tx: tx.outbox.has_expired(row.expires_ms + 1))
    counts = await store.read(lambda tx: (tx.outbox.count(State.ACCEPTED), tx.outbox.count(State.COLLECTED)))
    assert counts == (1, 0)


async def test_what_was_collected_may_be_asked_for_as_often_as_anything_else_after_each_rollback(
    store: SqlStore,
) -> None:
    await collected(store)
    number = (await row_of(store, "a")).number
    places = iter(range(1, 100))
    for _ in range(2):
        await store.write(Step.RECOVERED, lambda tx: tx.outbox.rolled_back(0))
        for _ in range(MAX_SENDINGS - 1):
            assert await receipt(store, 0, 100, except_at(await place_of(store), ExceptionCode.CONTENT_LOST))
            await sent_again(store, number, next(places))
        await receipt(store, 0, 100)
        await collected_by(store, Collection(index=await place_of(store), agency=NEWARK, at_ms=7_000))
        assert await states(store, "a") == [State.COLLECTED]


async def place_of(store: SqlStore) -> int:
    place = (await row_of(store, "a")).log_index
    assert place is not None
    return place


@pytest.mark.parametrize("waits", [False, True])
async def test_what_was_collected_and_would_end_is_collected(store: SqlStore, *, waits: bool) -> None:
    await collected(store)
    if waits:
        await receipt(store, 0, 1, except_at(0, ExceptionCode.CONTENT_LOST))
        await sent_again(store, (await row_of(store, "a")).number, 1)
    refusal = except_at(1 if waits else 0, ExceptionCode.EXPIRED)

    ((message, place),) = await store.read(lambda tx: tx.outbox.taken_back([refusal]))
    await store.write(Step.MIRRORED, lambda tx: tx.outbox.stay_received(message, start=0, end=1))

    row = await row_of(store, "a")
    assert (row.state, row.log_index, row.receipt_index, place) == (State.COLLECTED, 0, 9, 9)
    counted = await store.read(lambda tx: [tx.outbox.count(state) for state in (State.SENT, State.RECEIVED)])
    assert counted == [0, 0]


async def test_what_was_cosigned_and_is_asked_for_again_does_not_expire_either(store: SqlStore) -> None:
    await sent(store, outgoing("a"))
    await store.write(Step.DELIVERED, lambda tx: tx.outbox.delivered(1, at_ms=4_000))
    await store.write(Step.RECOVERED, lambda tx: tx.outbox.rolled_back(0))
    await receipt(store, 0, 1, except_at(0, ExceptionCode.CONTENT_LOST))

    row = await row_of(store, "a")
    assert (row.state, row.was_received, row.is_unanswered) == (State.ACCEPTED, False, True)
    assert not await store.read(lambda tx: tx.outbox.has_expired(row.expires_ms + 1))


@pytest.mark.parametrize("code", [ExceptionCode.EXPIRED, ExceptionCode.RULE, ExceptionCode.DUPLICATE, 99])
async def test_what_was_received_stays_so_at_its_first_entry_whatever_comes_later(
    store: SqlStore, code: int
) -> None:
    await rolled_back(store)
    await receipt(store, 0, 1, except_at(0, ExceptionCode.CONTENT_LOST))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 5))
    refusal = except_at(5, code)

    (taken,) = await store.read(lambda tx: tx.outbox.taken_back([refusal]))
    assert taken[1] == 9
    await store.write(Step.MIRRORED, lambda tx: tx.outbox.stay_received(taken[0], start=0, end=1))
    assert await receipt(store, 5, 6, refusal) is False
    row = await row_of(store, "a")
    assert (row.state, row.log_index, row.receipt_index) == (State.RECEIVED, 0, 9)
    assert (row.exception, row.was_received) == (None, False)
    assert await voids(store) == []
    counts = await store.read(lambda tx: (tx.outbox.count(State.SENT), tx.outbox.count(State.RECEIVED)))
    assert counts == (0, 1)


async def test_a_message_stays_received_at_no_entry_that_is_not_its_own(store: SqlStore) -> None:
    await rolled_back(store)
    (taken,) = await store.read(lambda tx: tx.outbox.taken_back([except_at(0, ExceptionCode.RULE)]))
    with pytest.raises(StoreError):
        await store.write(Step.MIRRORED, lambda tx: tx.outbox.stay_received(taken[0], start=1, end=9))


async def test_a_received_message_is_asked_for_without_a_rollback_and_keeps_its_receipt(
    store: SqlStore,
) -> None:
    await sent(store, outgoing("a"))
    await receipt(store, 0, 1)

    assert await store.read(lambda tx: tx.outbox.taken_back([except_at(0, ExceptionCode.EXPIRED)])) != []
    assert await receipt(store, 0, 1, except_at(0, ExceptionCode.KEM_KEY_GONE)) is True
    assert (await row_of(store, "a")).was_received


async def test_early_receipts_are_found_by_the_places_that_they_speak_of(store: SqlStore) -> None:
    def early(start: int, count: int, *exceptions: ReceiptException) -> ReceiptDue:
        return ReceiptDue(
            start=start, count=count, root=Hash(bytes(32)), decided_ms=start, exceptions=exceptions
        )

    first, second = early(3, 4, except_at(4, int(ExceptionCode.RULE), 7)), early(5, 6)

    def put(tx: Transaction) -> None:
        tx.inbox.put_early_receipt(first, log_index=1)
        tx.inbox.put_early_receipt(second, log_index=2)

    await store.write(Step.RECOVERED, put)
    found = await store.read(
        lambda tx: [tx.inbox.early_receipts(*at) for at in ((0, 3), (3, 4), (4, 6), (7, 9), (11, 12))]
    )
    assert found == [[], [first], [first, second], [second], []]
    assert await store.read(lambda tx: tx.inbox.last_early_receipt()) == 11
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.forget_early_receipts(7))
    assert await store.read(lambda tx: tx.inbox.early_receipts(0, 99)) == [second]
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.forget_early_receipts(11))
    assert await store.read(lambda tx: tx.inbox.last_early_receipt()) == 0


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
