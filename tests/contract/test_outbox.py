"""Outgoing messages: every way through the states, and every refusal."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.core.entries import Collection, ReceiptException
from gateway.core.merkle import Hash
from gateway.core.receipt import MAX_SENDINGS, ExceptionCode
from gateway.core.states import State
from gateway.errors import StoreError
from gateway.ports import CollectionRow, MessageRow, NewMessage, Step, Transaction
from gateway.storage.outbox import FEW
from gateway.storage.store import SqlStore
from tests.contract.builders import (
    BOSTON,
    LYON,
    NEWARK,
    NICE,
    bundle,
    identifier,
    incoming,
    outgoing,
    send,
)

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


# --- accepted ------------------------------------------------------------------------


async def test_an_accepted_message_is_read_back_as_it_was_stored(store: SqlStore) -> None:
    message = outgoing(
        "m",
        to_agencies=(NEWARK, BOSTON),
        in_reply_to=identifier("parent"),
        reply_by_ms=9_000,
        closes=True,
        flags="crossed gap",
        seq=7,
    )
    await put(store, message)
    found = await row(store, "m")
    assert found == MessageRow(
        number=1,
        outgoing=True,
        state=State.ACCEPTED,
        message_id=message.message_id,
        type=message.type,
        from_agency=LYON,
        to_agencies=(NEWARK, BOSTON),
        conversation_id=message.conversation_id,
        seq=7,
        in_reply_to=identifier("parent"),
        purpose=message.purpose,
        reply_by_ms=9_000,
        closes=True,
        rank=3,
        created_ms=1_000,
        expires_ms=1_000_000,
        arrived_ms=2_000,
        log_index=None,
        audit_index=message.audit_index,
        sendings=0,
        sent_ms=None,
        delivered_ms=None,
        decided_ms=None,
        receipt_index=None,
        exception=None,
        rule=None,
        flags="crossed gap",
    )
    (item,) = await store.read(lambda tx: tx.outbox.waiting(limit=1, max_bytes=LIMIT))
    assert (item.number, item.header, item.rank) == (1, message.header, 3)
    assert (item.ciphertext, item.wrapped_key) == (message.ciphertext, message.wrapped_key)


async def test_messages_wait_by_rank_and_then_by_age(store: SqlStore) -> None:
    await put(store, outgoing("a"), outgoing("b", rank=1), outgoing("c", rank=3))
    await put(store, outgoing("d", rank=0), outgoing("e", rank=1))
    assert await waiting(store) == ids("d", "b", "e", "a", "c")
    assert await waiting(store, limit=2) == ids("d", "b")


async def test_nothing_waits_in_an_empty_outbox(store: SqlStore) -> None:
    assert await waiting(store) == []
    assert await store.read(lambda tx: tx.outbox.has_expired(2**50)) is False
    assert await counts(store) == {}


async def test_bytes_end_a_bundle_but_a_single_large_message_goes(store: SqlStore) -> None:
    sizes = {"a": 600, "b": 300, "c": 200, "d": 10}
    await put(store, *(outgoing(word, ciphertext=bytes(size)) for word, size in sizes.items()))
    assert await waiting(store, max_bytes=1_000) == ids("a", "b")
    assert await waiting(store, max_bytes=900) == ids("a", "b")
    assert await waiting(store, max_bytes=899) == ids("a")
    assert await waiting(store, max_bytes=1) == ids("a")


# What a rank is inherited by is looked for among few that wait, and by conversation among many.
LESS_URGENT = pytest.mark.parametrize("others", [0, 1, FEW, FEW + 1])


# By name: conversation, agency, rank. The first is sent, the second withdrawn.
TALKERS = {
    "sent": ("talk", LYON, 3),
    "gone": ("talk", LYON, 3),
    "first": ("talk", LYON, 3),
    "nice": ("talk", NICE, 3),
    "urgent": ("talk", LYON, 1),
    "flash": ("talk", LYON, 0),
    "routine": ("second talk", LYON, 3),
    "priority": ("second talk", LYON, 2),
    "elsewhere": ("third talk", LYON, 3),
}
UNCHANGED = {name: rank for name, (_, _, rank) in TALKERS.items()}


async def raise_ranks(store: SqlStore, ranks: dict[bytes, int], *, others: int) -> dict[str, int]:
    """Raise ranks while so many others wait as well; return the ranks that the talkers have then."""
    sent, *waiting_ = (
        outgoing(name, conversation_id=identifier(talk), from_agency=agency, rank=rank)
        for name, (talk, agency, rank) in TALKERS.items()
    )
    await put(store, sent)
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0))
    await put(store, *waiting_, *(outgoing(rank=3) for _ in range(others)))
    await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.withdraw(identifier("gone"), LYON))
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.raise_ranks(ranks))
    found = await store.read(lambda tx: tx.threads.rows(ids(*TALKERS)))
    return {name: found[identifier(name)].rank for name in TALKERS}


@LESS_URGENT
async def test_waiting_predecessors_in_a_conversation_inherit_a_rank(store: SqlStore, others: int) -> None:
    ranks = await raise_ranks(store, {identifier("talk"): 1}, others=others)
    assert ranks == UNCHANGED | {"first": 1, "nice": 1}
    order = await waiting(store, limit=200)
    assert order[:5] == ids("flash", "first", "nice", "urgent", "priority")
    assert len(order) == 7 + others


@LESS_URGENT
async def test_each_conversation_inherits_its_own_rank(store: SqlStore, others: int) -> None:
    ranks = await raise_ranks(store, {identifier("talk"): 2, identifier("second talk"): 0}, others=others)
    assert ranks == UNCHANGED | {"first": 2, "nice": 2, "routine": 0, "priority": 0}


@LESS_URGENT
async def test_nothing_inherits_from_a_conversation_that_nobody_knows(store: SqlStore, others: int) -> None:
    assert await raise_ranks(store, {identifier("none"): 0}, others=others) == UNCHANGED


# --- ends before sending -------------------------------------------------------------


async def test_only_messages_whose_time_is_over_expire(store: SqlStore) -> None:
    await put(
        store,
        outgoing("late", expires_ms=300),
        outgoing("early", expires_ms=100),
        outgoing("exact", expires_ms=200),
        outgoing("sent", expires_ms=50, rank=0),
    )
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0, limit=1))
    assert await store.read(lambda tx: tx.outbox.has_expired(99)) is False
    assert await store.read(lambda tx: tx.outbox.has_expired(100)) is True
    assert await store.write(Step.EXPIRED, lambda tx: tx.outbox.expire(99, limit=10)) == []

    expired = await store.write(Step.EXPIRED, lambda tx: tx.outbox.expire(200, limit=10))

    assert [r.message_id for r in expired] == ids("early", "exact")
    assert {r.state for r in expired} == {State.EXPIRED}
    assert expired == [await row(store, "early"), await row(store, "exact")]
    assert await waiting(store) == ids("late")
    assert await counts(store) == {State.ACCEPTED: 1, State.EXPIRED: 2, State.SENT: 1}


async def test_expiring_is_bounded(store: SqlStore) -> None:
    await put(store, *(outgoing(n, expires_ms=n) for n in range(10)))
    assert len(await store.write(Step.EXPIRED, lambda tx: tx.outbox.expire(100, limit=4))) == 4
    assert len(await store.write(Step.EXPIRED, lambda tx: tx.outbox.expire(100, limit=40))) == 6


async def test_a_waiting_message_is_withdrawn_and_the_row_says_what_it_was(store: SqlStore) -> None:
    await put(store, outgoing("m"))
    was = await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.withdraw(identifier("m"), LYON))
    assert was is not None
    assert was.state is State.ACCEPTED
    assert (await row(store, "m")).state is State.WITHDRAWN
    assert await waiting(store) == []
    again = await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.withdraw(identifier("m"), LYON))
    assert again is not None
    assert again.state is State.WITHDRAWN
    assert await counts(store) == {State.WITHDRAWN: 1}


@pytest.mark.parametrize(("word", "agency"), [("unknown", LYON), ("m", NICE), ("in", NEWARK)])
async def test_nobody_withdraws_or_finds_what_another_posted(store: SqlStore, word: str, agency: str) -> None:
    await put(store, outgoing("m"))
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.insert([incoming("in", log_index=0)]))
    key = identifier(word)
    assert await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.withdraw(key, agency)) is None
    assert await store.read(lambda tx: tx.outbox.find(key, agency)) is None
    assert (await row(store, "m")).state is State.ACCEPTED


async def test_a_message_that_was_sent_is_not_withdrawn(store: SqlStore) -> None:
    await put(store, outgoing("m"))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0))
    was = await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.withdraw(identifier("m"), LYON))
    assert was is not None
    assert was.state is State.SENT
    assert (await row(store, "m")).state is State.SENT


# --- sent ----------------------------------------------------------------------------


async def test_a_sent_message_has_its_entry_and_waits_no_more(store: SqlStore) -> None:
    await put(store, outgoing("a"), outgoing("b"))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 41, at_ms=77))
    found = await row(store, "b")
    assert (found.state, found.log_index, found.sendings, found.sent_ms) == (State.SENT, 42, 1, 77)
    assert await waiting(store) == []
    assert await counts(store) == {State.SENT: 2}


async def test_what_is_not_waiting_is_not_sent(store: SqlStore) -> None:
    await put(store, outgoing("a"), outgoing("b"))
    await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.withdraw(identifier("b"), LYON))
    for sent, reason in (
        ([(1, 0), (2, 1)], "not waiting"),
        ([(1, 0), (1, 1)], "not waiting"),
        ([(99, 0)], None),  # nor is what does not exist: the database refuses the reference
    ):
        with pytest.raises(StoreError, match=reason):
            await store.write(
                Step.SEQUENCED,
                lambda tx, s=sent: tx.outbox.mark_sent(s, at_ms=1),  # type: ignore[misc]
            )
    assert (await row(store, "a")).state is State.ACCEPTED
    assert await counts(store) == {State.ACCEPTED: 1, State.WITHDRAWN: 1}


async def test_two_messages_never_share_an_entry(store: SqlStore) -> None:
    await put(store, outgoing("a"), outgoing("b"))
    with pytest.raises(StoreError):
        await store.write(Step.SEQUENCED, lambda tx: tx.outbox.mark_sent([(1, 5), (2, 5)], at_ms=1))


async def test_bundles_are_found_by_what_they_end_behind(store: SqlStore) -> None:
    stored = [bundle(0, 2, box=None, messages=0), bundle(2, 5), bundle(7, 1)]

    def keep(tx: Transaction) -> None:
        for one in stored:
            tx.outbox.put_bundle(one)

    await store.write(Step.SEQUENCED, keep)

    async def found(index: int, limit: int = 10) -> list[int]:
        return [b.start for b in await store.read(lambda tx: tx.outbox.bundles_from(index, limit=limit))]

    assert await store.read(lambda tx: tx.outbox.bundles_from(0, limit=10)) == stored
    assert await found(1) == [0, 2, 7]
    assert await found(2) == [2, 7]
    assert await found(6, limit=1) == [2]
    assert await found(7) == [7]
    assert await found(8) == []


async def test_the_note_of_a_bundle_is_stored_once_it_is_signed(store: SqlStore) -> None:
    await store.write(Step.SEQUENCED, lambda tx: tx.outbox.put_bundle(bundle(0, 2)))
    await store.write(Step.SIGNED, lambda tx: tx.outbox.set_note(0, b"note"))
    (found,) = await store.read(lambda tx: tx.outbox.bundles_from(0, limit=1))
    assert found == bundle(0, 2, note=b"note")


async def test_a_bundle_grows_until_it_is_signed(store: SqlStore) -> None:
    await store.write(Step.SEQUENCED, lambda tx: tx.outbox.put_bundle(bundle(0, 2)))
    await store.write(Step.SEQUENCED, lambda tx: tx.outbox.grow_bundle(0, end=3, root=Hash(b"g" * 32)))
    (found,) = await store.read(lambda tx: tx.outbox.bundles_from(0, limit=1))
    assert found == bundle(0, 3, root=Hash(b"g" * 32), messages=2)

    await store.write(Step.SIGNED, lambda tx: tx.outbox.set_note(0, b"note"))
    with pytest.raises(StoreError):
        await store.write(Step.SEQUENCED, lambda tx: tx.outbox.grow_bundle(0, end=4, root=Hash(b"h" * 32)))


async def test_a_bundle_that_is_not_there_does_not_grow(store: SqlStore) -> None:
    with pytest.raises(StoreError):
        await store.write(Step.SEQUENCED, lambda tx: tx.outbox.grow_bundle(0, end=4, root=Hash(b"h" * 32)))


async def test_the_ciphertexts_of_a_range_come_in_order_of_the_log(store: SqlStore) -> None:
    await put(store, outgoing("a"), outgoing("b", rank=0), outgoing("c"))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 10))
    found = await store.read(lambda tx: tx.outbox.ciphertexts(10, 13))
    assert found == [b"ciphertext of b", b"ciphertext of a", b"ciphertext of c"]
    assert await store.read(lambda tx: tx.outbox.ciphertexts(11, 12)) == [b"ciphertext of a"]
    assert await store.read(lambda tx: tx.outbox.ciphertexts(0, 10)) == []


# --- delivered -----------------------------------------------------------------------


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


# --- received ------------------------------------------------------------------------


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


# --- collected -----------------------------------------------------------------------


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


# --- looking -------------------------------------------------------------------------


async def test_an_agency_lists_what_it_posted_newest_first_page_by_page(store: SqlStore) -> None:
    await put(store, *(outgoing(n, from_agency=LYON if n % 2 else NICE) for n in range(10)))

    async def page(after: int) -> list[MessageRow]:
        return await store.read(lambda tx: tx.outbox.listing(LYON, after=after, limit=2))

    first = await page(0)
    second = await page(first[-1].number)
    third = await page(second[-1].number)
    assert [r.message_id for r in first + second + third] == ids(9, 7, 5, 3, 1)
    assert await page(third[-1].number) == []


# --- voids ---------------------------------------------------------------------------


async def test_what_a_look_did_not_find_is_found_once_it_is_there(store: SqlStore) -> None:
    talk = identifier(6)
    for seq in (1, 2):
        for _ in range(2):
            assert await store.write(Step.SEQUENCED, lambda tx: tx.outbox.take_voids(limit=10)) == []
        await store.write(Step.WITHDRAWN, lambda tx, s=seq: tx.outbox.put_void(talk, LYON, s))  # type: ignore[misc]
        found = await store.write(Step.SEQUENCED, lambda tx: tx.outbox.take_voids(limit=10))
        assert found == [(talk, LYON, seq)]


async def test_what_a_look_did_not_find_any_more_is_found_when_that_is_undone(store: SqlStore) -> None:
    def take(tx: Transaction) -> None:
        assert tx.outbox.take_voids(limit=10)
        assert tx.outbox.take_voids(limit=10) == []
        raise LookupError

    await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.put_void(identifier(6), LYON, 1))
    for first in (True, False):
        writes = [store.write(Step.SEQUENCED, take)]
        if not first:
            writes.insert(0, store.write(Step.SETUP, lambda tx: tx.facts.put("word", "entente")))
        *_, undone = await asyncio.gather(*writes, return_exceptions=True)
        assert isinstance(undone, LookupError)
    assert await store.write(Step.SEQUENCED, lambda tx: tx.outbox.take_voids(limit=10))


async def test_who_writes_counts_what_it_has_moved(store: SqlStore) -> None:
    def accepted(tx: Transaction) -> int:
        return tx.outbox.count(State.ACCEPTED)

    def undone(tx: Transaction) -> None:
        tx.outbox.insert([outgoing(9)])
        assert tx.outbox.count(State.ACCEPTED) == 3
        raise LookupError

    assert await store.write(Step.SETUP, accepted) == 0
    await put(store, outgoing(1), outgoing(2))
    assert await store.write(Step.SETUP, accepted) == 2
    with pytest.raises(LookupError):
        await store.write(Step.ACCEPTED, undone)
    assert await store.write(Step.SETUP, accepted) == await store.read(accepted) == 2
    await store.write(Step.SEQUENCED, lambda tx: tx.outbox.mark_sent([(1, 0)], at_ms=3))
    assert await store.write(Step.SETUP, accepted) == await store.read(accepted) == 1


async def test_voids_are_taken_once(store: SqlStore) -> None:
    talk = identifier("talk")
    for seq in (3, 5, 3):
        await store.write(Step.WITHDRAWN, lambda tx, s=seq: tx.outbox.put_void(talk, LYON, s))  # type: ignore[misc]
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.put_void(talk, NEWARK, [1, 2]))
    taken = await store.write(Step.SEQUENCED, lambda tx: tx.outbox.take_voids(limit=1))
    taken += await store.write(Step.SEQUENCED, lambda tx: tx.outbox.take_voids(limit=10))
    assert taken == [(talk, LYON, 3), (talk, LYON, 5)]
    assert await store.write(Step.SEQUENCED, lambda tx: tx.outbox.take_voids(limit=10)) == []
    # Declared once more, it is still in the log.
    await store.write(Step.WITHDRAWN, lambda tx: tx.outbox.put_void(talk, LYON, 3))
    assert await store.write(Step.SEQUENCED, lambda tx: tx.outbox.take_voids(limit=10)) == []


# --- recovery ------------------------------------------------------------------------


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
