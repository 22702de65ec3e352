"""What messages do to earlier ones, and which requests are open."""

from __future__ import annotations

import pytest

from gateway.core.entries import ReceiptException
from gateway.core.message.effect import Effect, NewEffect
from gateway.core.message.retention import Ground, Retention
from gateway.core.receipt import ExceptionCode
from gateway.core.states import State
from gateway.ports import Step, Transaction
from gateway.storage.store import SqlStore
from tests.contract.builders import LYON, NEWARK, NICE, identifier, incoming, outgoing


def does(subject: object, effect: Effect, at_ms: int | None = None) -> NewEffect:
    return NewEffect(subject=identifier(subject), effect=effect, at_ms=at_ms)


async def requests(
    store: SqlStore, agency: str = LYON, *, after: tuple[int, int] = (-1, 0), limit: int = 100
) -> list[tuple[int, bytes]]:
    found = await store.read(lambda tx: tx.threads.open_requests(agency, after=after, limit=limit))
    return [(request.due_ms, request.conversation_id) for request in found]


async def test_what_was_done_to_a_message_is_found_by_it_oldest_first(store: SqlStore) -> None:
    target = outgoing("target")
    first = outgoing("first", effects=(does("target", Effect.CORRECTS), does("room", Effect.OPENS_ROOM)))
    second = incoming("second", log_index=1, effects=(does("target", Effect.GIVES_FEEDBACK, at_ms=7),))
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([target, first]))
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.insert([second]))

    wanted = [identifier("target"), identifier("room"), identifier("none")]
    found = await store.read(lambda tx: tx.threads.effects(wanted))

    assert {subject: [(item.effect, item.at_ms) for item in rows] for subject, rows in found.items()} == {
        identifier("target"): [(Effect.CORRECTS, None), (Effect.GIVES_FEEDBACK, 7)],
        identifier("room"): [(Effect.OPENS_ROOM, None)],
    }
    assert [item.row.message_id for item in found[identifier("target")]] == [
        identifier("first"),
        identifier("second"),
    ]
    assert await store.read(lambda tx: tx.threads.effects([])) == {}


async def test_open_requests_are_listed_by_agency_and_deadline(store: SqlStore) -> None:
    asked = [
        outgoing("late", awaits=True, reply_by_ms=300),
        outgoing("soon", awaits=True, reply_by_ms=100),
        outgoing("never", awaits=True),
        outgoing("told", reply_by_ms=50),
    ]
    received = incoming("asked", log_index=1, awaits=True, reply_by_ms=200, to_agencies=(LYON, NICE, NICE))
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert(asked))
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.insert([received]))

    names = {message.message_id: message.conversation_id for message in (*asked, received)}
    ordered = [(100, "soon"), (200, "asked"), (300, "late")]
    expected = [(due, names[identifier(name)]) for due, name in ordered]
    everything = await requests(store)
    assert everything[:3] == expected
    assert everything[3][1] == names[identifier("never")]
    assert len(everything) == 4
    assert await requests(store, NICE) == expected[1:2]
    assert await requests(store, NEWARK) == []
    page = await store.read(lambda tx: tx.threads.open_requests(LYON, after=(-1, 0), limit=2))
    assert await requests(store, after=(page[-1].due_ms, page[-1].number), limit=1) == expected[2:]


async def test_a_request_is_open_until_it_is_closed(store: SqlStore) -> None:
    request = outgoing("request", awaits=True, reply_by_ms=100)
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([request]))
    part = incoming("part", log_index=1, in_reply_to=identifier("request"))
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.insert([part]))
    assert await requests(store) == [(100, request.conversation_id)]

    final = incoming("final", log_index=2, in_reply_to=identifier("request"), closes=True)
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.insert([final]))
    assert await requests(store) == []


async def test_a_request_that_is_closed_in_the_same_group_was_never_open(store: SqlStore) -> None:
    request = outgoing("request", awaits=True, reply_by_ms=100)
    cancel = outgoing("cancel", in_reply_to=identifier("request"), closes=True)

    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([request, cancel]))

    assert await requests(store) == []


async def test_a_request_is_open_again_when_its_closing_was_withdrawn(store: SqlStore) -> None:
    request = incoming("request", log_index=1, awaits=True, reply_by_ms=100, to_agencies=(LYON, NICE))
    answer = outgoing("answer", in_reply_to=identifier("request"), closes=True)
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.insert([request]))
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([answer]))
    assert await requests(store) == await requests(store, NICE) == []

    await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.withdraw(identifier("answer"), LYON))

    opened = [(100, request.conversation_id)]
    assert await requests(store) == await requests(store, NICE) == opened


@pytest.mark.parametrize("how", ["withdrawn", "expired"])
async def test_a_request_that_ended_itself_is_not_open(store: SqlStore, how: str) -> None:
    request = outgoing("request", awaits=True, reply_by_ms=100, expires_ms=500)
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([request]))

    if how == "withdrawn":
        await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.withdraw(identifier("request"), LYON))
    else:
        await store.write(Step.EXPIRED, lambda tx: tx.outbox.expire(501, limit=10))

    assert await requests(store) == []


async def test_a_request_is_open_again_when_the_peer_refuses_its_closing(store: SqlStore) -> None:
    request = incoming("request", log_index=1, awaits=True, reply_by_ms=100)
    answer = outgoing("answer", in_reply_to=identifier("request"), closes=True)
    other = outgoing("other", awaits=True, reply_by_ms=900)
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.insert([request]))
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([answer, other]))

    def send(tx: Transaction) -> None:
        waiting = tx.outbox.waiting(limit=10, max_bytes=10_000)
        tx.outbox.mark_sent([(item.number, index) for index, item in enumerate(waiting)], at_ms=5)

    def refuse(tx: Transaction) -> None:
        rule = int(ExceptionCode.RULE)
        exceptions = [ReceiptException(index=index, code=rule, rule=115) for index in (0, 1)]
        tx.outbox.received(start=0, end=2, decided_ms=9, receipt_index=3, exceptions=exceptions)

    await store.write(Step.SEQUENCED, send)
    await store.write(Step.MIRRORED, refuse)

    assert await requests(store) == [(100, request.conversation_id)]


async def test_a_request_is_open_again_when_its_closing_was_erased_before_it_was_sent(
    store: SqlStore,
) -> None:
    request = incoming("request", log_index=1, awaits=True, reply_by_ms=100)
    retention = Retention(erase_ms=5, ground=Ground.ORDER)
    answer = outgoing("answer", in_reply_to=identifier("request"), closes=True, retention=retention)
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.insert([request]))
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([answer]))

    def erase(tx: Transaction) -> None:
        tx.removal.erase(tx.removal.due(9, limit=9), at_ms=9, audit_index=1, logged=False)

    await store.write(Step.ERASED, erase)

    assert await requests(store) == [(100, request.conversation_id)]


async def test_the_effects_of_an_erased_message_stay(store: SqlStore) -> None:
    retention = Retention(erase_ms=5, ground=Ground.ORDER)
    effects = (does("target", Effect.ACKNOWLEDGES),)
    received = incoming("ack", log_index=1, effects=effects, retention=retention)
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.insert([received]))

    def erase(tx: Transaction) -> None:
        tx.removal.erase(tx.removal.due(9, limit=9), at_ms=9, audit_index=1, logged=False)

    await store.write(Step.ERASED, erase)

    found = await store.read(lambda tx: tx.threads.effects([identifier("target")]))
    (kept,) = found[identifier("target")]
    assert (kept.effect, kept.row.state, kept.row.is_void) == (Effect.ACKNOWLEDGES, State.ERASED, False)
