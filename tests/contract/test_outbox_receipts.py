"""What the peer says of outgoing messages: every way through the states, and every refusal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.entries import Collection, ReceiptException
from gateway.core.receipt import MAX_SENDINGS, ExceptionCode
from gateway.core.states import State
from gateway.ports import CollectionRow, Step, Transaction
from gateway.storage.store import SqlStore
from tests.contract.builders import (
    BOSTON,
    LYON,
    NEWARK,
    identifier,
    outgoing,
    send,
)
from tests.contract.outgoing import counts, ids, put, row, waiting

# --- delivered ---------------------------------------------------------------------------------------


async def test_a_cosignature_delivers_what_is_below_it_and_forgets_the_boxes(store: SqlStore) -> None:
    await put(store, *(outgoing(n) for n in range(4)))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0, limit=2))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 2, limit=2))
    for start in (0, 2):
        await store.write(Step.SIGNED, lambda tx, s=start: tx.outbox.set_note(s, b"note"))  # type: ignore[misc]

    assert await store.write(Step.DELIVERED, lambda tx: tx.outbox.delivered(2, at_ms=90)) == 2
    assert await store.write(Step.DELIVERED, lambda tx: tx.outbox.delivered(2, at_ms=95)) == 0

    assert [(await row(store, n)).state for n in range(4)] == [State.DELIVERED] * 2 + [State.SENT] * 2
    assert (await row(store, 1)).delivered_ms == 90
    first, second = await store.read(lambda tx: tx.outbox.bundles_from(0, limit=2))
    assert (first.box, first.note) == (None, None)
    assert (second.box, second.note) == (b"box", b"note")
    assert await counts(store) == {State.DELIVERED: 2, State.SENT: 2}


# --- received ----------------------------------------------------------------------------------------


def receipt(
    tx: Transaction,
    start: int,
    end: int,
    *exceptions: tuple[int, ExceptionCode | int, int | None],
    index: int = 500,
) -> None:
    tx.outbox.received(
        start=start,
        end=end,
        decided_ms=888,
        receipt_index=index,
        exceptions=[ReceiptException(index=i, code=int(c), rule=r) for i, c, r in exceptions],
    )


async def sent(store: SqlStore, count: int, *, delivered: bool) -> None:
    await put(store, *(outgoing(n) for n in range(count)))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0))
    if delivered:
        await store.write(Step.DELIVERED, lambda tx: tx.outbox.delivered(count, at_ms=90))


@pytest.mark.parametrize("delivered", [False, True])
async def test_a_receipt_without_exceptions_means_received(store: SqlStore, delivered: bool) -> None:
    await sent(store, 4, delivered=delivered)
    await store.write(Step.MIRRORED, lambda tx: receipt(tx, 1, 3))
    states = [(await row(store, n)).state for n in range(4)]
    rest = State.DELIVERED if delivered else State.SENT
    assert states == [rest, State.RECEIVED, State.RECEIVED, rest]
    found = await row(store, 1)
    assert (found.decided_ms, found.receipt_index, found.exception, found.rule) == (888, 500, None, None)
    assert found.delivered_ms == (90 if delivered else 888)
    assert await counts(store) == {rest: 2, State.RECEIVED: 2}


@pytest.mark.parametrize("delivered", [False, True])
async def test_exceptions_say_what_becomes_of_their_messages(store: SqlStore, delivered: bool) -> None:
    await sent(store, 6, delivered=delivered)
    codes = ExceptionCode
    await store.write(
        Step.MIRRORED,
        lambda tx: receipt(
            tx,
            0,
            6,
            (1, codes.RULE, 17),
            (2, codes.EXPIRED, None),
            (3, codes.ERASED, None),
            (4, 9_999, None),
        ),
    )
    assert [(await row(store, n)).state for n in range(6)] == [
        State.RECEIVED,
        State.REFUSED,
        State.EXPIRED,
        State.ERASED,
        State.REFUSED,
        State.RECEIVED,
    ]
    refused = await row(store, 1)
    assert (refused.exception, refused.rule, refused.log_index) == (codes.RULE, 17, 1)
    assert sum((await counts(store)).values()) == 6


@pytest.mark.parametrize(
    "code", [ExceptionCode.KEM_KEY_GONE, ExceptionCode.CONTENT_LOST, ExceptionCode.HELD_TOO_LONG]
)
async def test_some_exceptions_send_a_message_again_three_times_at_most(
    store: SqlStore, code: ExceptionCode
) -> None:
    await put(store, outgoing("m"))
    for attempt in range(MAX_SENDINGS):
        assert await waiting(store) == ids("m")
        await store.write(Step.SEQUENCED, lambda tx, at=attempt: send(tx, at))  # type: ignore[misc]
        await store.write(
            Step.MIRRORED,
            lambda tx, at=attempt: receipt(tx, at, at + 1, (at, code, None)),  # type: ignore[misc]
        )
        found = await row(store, "m")
        assert (found.sendings, found.exception) == (attempt + 1, code)
    assert (await row(store, "m")).state is State.REFUSED
    assert await waiting(store) == []
    assert await counts(store) == {State.REFUSED: 1}


async def test_a_message_that_was_sent_again_belongs_to_its_newest_entry(store: SqlStore) -> None:
    await put(store, outgoing("m"), outgoing("n"))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0))
    await store.write(Step.MIRRORED, lambda tx: receipt(tx, 0, 2, (0, ExceptionCode.KEM_KEY_GONE, None)))
    back = await row(store, "m")
    assert (back.state, back.log_index) == (State.ACCEPTED, None)
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 7))

    # A repeat of the old receipt says nothing about the new entry.
    await store.write(Step.MIRRORED, lambda tx: receipt(tx, 0, 2, index=600))
    assert (await row(store, "m")).state is State.SENT
    await store.write(Step.MIRRORED, lambda tx: receipt(tx, 0, 2, (0, ExceptionCode.RULE, 1)))
    assert (await row(store, "m")).state is State.SENT

    await store.write(Step.MIRRORED, lambda tx: receipt(tx, 7, 8, index=601))
    found = await row(store, "m")
    assert (found.state, found.receipt_index, found.exception) == (State.RECEIVED, 601, None)
    # Both entries still stand for the same content.
    assert await store.read(lambda tx: tx.outbox.ciphertexts(0, 1)) == [b"ciphertext of m"]
    assert await store.read(lambda tx: tx.outbox.ciphertexts(7, 8)) == [b"ciphertext of m"]


async def test_what_was_refused_or_collected_stays_so_whatever_is_repeated(store: SqlStore) -> None:
    await sent(store, 3, delivered=True)
    await store.write(Step.MIRRORED, lambda tx: receipt(tx, 0, 3, (0, ExceptionCode.SCHEMA, None)))
    await store.write(
        Step.MIRRORED,
        lambda tx: tx.outbox.collected([Collection(index=1, agency=NEWARK, at_ms=5)], log_index=9),
    )
    before = [await row(store, n) for n in range(3)]
    await store.write(Step.MIRRORED, lambda tx: receipt(tx, 0, 3, (1, ExceptionCode.RULE, 3), index=7))
    await store.write(Step.DELIVERED, lambda tx: tx.outbox.delivered(3, at_ms=99))
    assert [await row(store, n) for n in range(3)] == before
    assert [r.state for r in before] == [State.REFUSED, State.COLLECTED, State.RECEIVED]


async def test_a_receipt_says_nothing_about_messages_that_wait(store: SqlStore) -> None:
    await put(store, outgoing("m"))
    await store.write(Step.MIRRORED, lambda tx: receipt(tx, 0, 100, (3, ExceptionCode.RULE, 1)))
    assert (await row(store, "m")).state is State.ACCEPTED


# --- collected ---------------------------------------------------------------------------------------


async def test_a_message_is_collected_once_every_addressee_has_acknowledged(store: SqlStore) -> None:
    await put(store, outgoing("m", to_agencies=(NEWARK, BOSTON, NEWARK)))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 3))
    await store.write(Step.MIRRORED, lambda tx: receipt(tx, 3, 4))

    async def collect(agency: str, at_ms: int, log_index: int) -> None:
        await store.write(
            Step.MIRRORED,
            lambda tx: tx.outbox.collected(
                [
                    Collection(index=3, agency=agency, at_ms=at_ms),
                    Collection(index=99, agency=agency, at_ms=at_ms),
                ],
                log_index=log_index,
            ),
        )

    async def addressees() -> list[CollectionRow]:
        return await store.read(lambda tx: tx.outbox.addressees(identifier("m")))

    newark = CollectionRow(agency=NEWARK, collected_ms=None, log_index=None)
    boston = CollectionRow(agency=BOSTON, collected_ms=None, log_index=None)
    assert await addressees() == [newark, boston]
    await collect(BOSTON, 50, 70)
    await collect(BOSTON, 60, 80)
    await collect(LYON, 60, 80)
    boston = replace(boston, collected_ms=50, log_index=70)
    assert await addressees() == [newark, boston]
    assert (await row(store, "m")).state is State.RECEIVED
    await collect(NEWARK, 90, 91)
    assert await addressees() == [replace(newark, collected_ms=90, log_index=91), boston]
    assert (await row(store, "m")).state is State.COLLECTED
    assert await counts(store) == {State.COLLECTED: 1}


async def test_an_unknown_message_has_no_addressees(store: SqlStore) -> None:
    assert await store.read(lambda tx: tx.outbox.addressees(identifier("m"))) == []


async def test_a_collection_of_an_agency_that_is_no_addressee_is_ignored(store: SqlStore) -> None:
    await sent(store, 1, delivered=False)
    collection = Collection(index=0, agency=BOSTON, at_ms=5)
    await store.write(Step.MIRRORED, lambda tx: tx.outbox.collected([collection], log_index=9))
    assert (await row(store, 0)).state is State.SENT


async def test_collections_of_one_entry_complete_what_they_are_the_last_of(store: SqlStore) -> None:
    await put(store, outgoing("shared", to_agencies=(NEWARK, BOSTON)), outgoing("alone"), outgoing("half"))
    await put(store, outgoing("early"))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0))
    await store.write(Step.MIRRORED, lambda tx: receipt(tx, 0, 2))
    collections = [
        Collection(index=0, agency=NEWARK, at_ms=5),
        Collection(index=0, agency=BOSTON, at_ms=6),
        Collection(index=1, agency=NEWARK, at_ms=7),
        Collection(index=3, agency=NEWARK, at_ms=8),
    ]
    for _ in range(2):
        await store.write(Step.MIRRORED, lambda tx: tx.outbox.collected(collections, log_index=9))
    assert [(await row(store, word)).state for word in ("shared", "alone", "half", "early")] == [
        State.COLLECTED,
        State.COLLECTED,
        State.SENT,
        State.COLLECTED,  # before the receipt: the peer's agency has it
    ]
    assert await counts(store) == {State.COLLECTED: 3, State.SENT: 1}


# --- recovery ----------------------------------------------------------------------------------------


async def test_a_recovered_log_delivers_what_the_backup_knew_and_ignores_the_rest(
    store: SqlStore,
) -> None:
    await put(store, outgoing("waiting"), outgoing("sent", rank=0), outgoing("gone"))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0, limit=1))
    await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.withdraw(identifier("gone"), LYON))
    recovered = [(5, "waiting"), (6, "later"), (7, "sent"), (8, "waiting"), (9, "gone")]
    await store.write(
        Step.RECOVERED,
        lambda tx: tx.outbox.recovered([(i, identifier(w)) for i, w in recovered], at_ms=44),
    )
    found = await row(store, "waiting")
    assert (found.state, found.log_index, found.delivered_ms) == (State.DELIVERED, 8, 44)
    assert (await row(store, "sent")).log_index == 7
    assert (await row(store, "gone")).state is State.WITHDRAWN
    assert await counts(store) == {State.DELIVERED: 2, State.WITHDRAWN: 1}
    assert await waiting(store) == []
    # One place for each entry, also for the message that this database never had.
    content = {word: f"ciphertext of {word}".encode() for word in ("waiting", "sent", "gone")}
    assert await store.read(lambda tx: tx.outbox.ciphertexts(5, 10)) == [
        content["waiting"],
        None,
        content["sent"],
        content["waiting"],
        content["gone"],
    ]
    await store.write(Step.MIRRORED, lambda tx: receipt(tx, 5, 10))
    assert await counts(store) == {State.RECEIVED: 2, State.WITHDRAWN: 1}
