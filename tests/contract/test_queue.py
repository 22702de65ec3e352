"""What waits and what went wrong, as the database tells it to operators."""

from __future__ import annotations

from gateway.core.entries import ReceiptException
from gateway.core.receipt import ExceptionCode
from gateway.core.states import State
from gateway.ports import NewMessage, Step, Transaction
from gateway.storage.store import SqlStore
from tests.contract.builders import LYON, NEWARK, NICE, identifier, incoming, outgoing, send

NOW = 1_000_000


async def put(store: SqlStore, *messages: NewMessage) -> None:
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert(messages))


def ids(*words: object) -> list[bytes]:
    return [identifier(word) for word in words]


async def test_what_waits_stands_in_the_order_in_which_it_will_be_sent(store: SqlStore) -> None:
    await put(store, outgoing("a", rank=3), outgoing("b", rank=0), outgoing("c", rank=3, from_agency=NICE))
    await put(store, outgoing("gone", rank=0))
    await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.withdraw(identifier("gone"), LYON))

    found = await store.read(lambda tx: tx.queue.waiting(limit=10))
    assert [row.message_id for row in found] == ids("b", "a", "c")
    assert len(await store.read(lambda tx: tx.queue.waiting(limit=2))) == 2
    assert await store.read(lambda tx: tx.queue.waiting_by_agency()) == {LYON: 2, NICE: 1}


async def test_the_age_of_a_backlog_is_that_of_its_oldest_message_whatever_its_precedence(
    store: SqlStore,
) -> None:
    assert await store.read(lambda tx: tx.queue.oldest_waiting_ms()) is None
    await put(store, outgoing(rank=3, arrived_ms=500), outgoing(rank=0, arrived_ms=900))
    assert await store.read(lambda tx: tx.queue.oldest_waiting_ms()) == 500


async def test_sent_and_delivered_messages_without_an_answer_are_told_apart(store: SqlStore) -> None:
    def ship(tx: Transaction) -> None:
        tx.outbox.insert([outgoing(word) for word in ("a", "b", "c", "d")])
        send(tx, 5)
        tx.outbox.delivered(8, at_ms=4_000)
        # A receipt for the first of them.
        tx.outbox.received(start=5, end=6, decided_ms=5_000, receipt_index=1, exceptions=())

    await store.write(Step.SEQUENCED, ship)

    sent = await store.read(lambda tx: tx.queue.unconfirmed(limit=10))
    delivered = await store.read(lambda tx: tx.queue.unanswered(limit=10))
    assert [row.message_id for row in sent] == ids("d")
    assert [row.message_id for row in delivered] == ids("b", "c")


async def test_nothing_is_on_the_way_in_an_empty_database(store: SqlStore) -> None:
    assert await store.read(lambda tx: tx.queue.unconfirmed(limit=10)) == []
    assert await store.read(lambda tx: tx.queue.unanswered(limit=10)) == []
    assert await store.read(lambda tx: tx.queue.waiting_by_agency()) == {}


async def test_what_failed_is_found_the_newest_first(store: SqlStore) -> None:
    def fail(tx: Transaction) -> None:
        tx.outbox.insert([outgoing(word) for word in ("a", "b", "fine")])
        send(tx, 0)
        exceptions = [
            ReceiptException(index=0, code=ExceptionCode.RULE, rule=7),
            ReceiptException(index=1, code=ExceptionCode.SCHEMA, rule=None),
        ]
        tx.outbox.received(start=0, end=3, decided_ms=5_000, receipt_index=1, exceptions=exceptions)
        tx.outbox.insert([outgoing("late", expires_ms=10), outgoing("waits")])
        tx.outbox.expire(20, limit=10)

    await store.write(Step.EXPIRED, fail)

    refused = await store.read(lambda tx: tx.queue.ended(State.REFUSED, limit=10))
    assert [(row.message_id, row.rule) for row in refused] == [
        (identifier("b"), None),
        (identifier("a"), 7),
    ]
    assert len(await store.read(lambda tx: tx.queue.ended(State.REFUSED, limit=1))) == 1
    expired = await store.read(lambda tx: tx.queue.ended(State.EXPIRED, limit=10))
    assert [row.message_id for row in expired] == ids("late")


async def test_requests_after_their_deadline_are_overdue_once_and_until_they_are_closed(
    store: SqlStore,
) -> None:
    await put(
        store,
        outgoing("asked", reply_by_ms=NOW - 2, awaits=True),
        outgoing("in time", reply_by_ms=NOW, awaits=True),
        outgoing("whenever", reply_by_ms=None, awaits=True),
        outgoing("no request", reply_by_ms=NOW - 9),
    )
    theirs = incoming("theirs", log_index=1, to_agencies=(LYON, NICE), reply_by_ms=NOW - 5, awaits=True)
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.insert([theirs]))

    found = await store.read(lambda tx: tx.queue.overdue(NOW, limit=10))
    assert [(row.message_id, row.outgoing) for row in found] == [
        (identifier("theirs"), False),
        (identifier("asked"), True),
    ]
    assert await store.read(lambda tx: tx.queue.count_overdue(NOW)) == 2

    answer = outgoing("answer", in_reply_to=identifier("theirs"), closes=True, to_agencies=(NEWARK,))
    await put(store, answer)
    found = await store.read(lambda tx: tx.queue.overdue(NOW, limit=10))
    assert [row.message_id for row in found] == ids("asked")
