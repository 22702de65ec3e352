"""Outgoing messages until they are sent: every way through the states, and every refusal."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.merkle import Hash
from gateway.core.states import State
from gateway.errors import StoreError
from gateway.ports import MessageRow, Step, Transaction
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
from tests.contract.outgoing import LIMIT, counts, ids, put, row, waiting

# --- accepted ----------------------------------------------------------------------------------------


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
    raised = await store.write(Step.ACCEPTED, lambda tx: tx.outbox.raise_ranks(ranks))
    found = await store.read(lambda tx: tx.threads.rows(ids(*TALKERS)))
    now = {name: found[identifier(name)].rank for name in TALKERS}
    assert sorted(raised) == sorted(
        (identifier(name), rank) for name, rank in now.items() if rank != UNCHANGED[name]
    )
    return now


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


# --- ends before sending -----------------------------------------------------------------------------


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


# --- sent --------------------------------------------------------------------------------------------


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


# --- looking -----------------------------------------------------------------------------------------


async def test_an_agency_lists_what_it_posted_newest_first_page_by_page(store: SqlStore) -> None:
    await put(store, *(outgoing(n, from_agency=LYON if n % 2 else NICE) for n in range(10)))

    async def page(after: int) -> list[MessageRow]:
        return await store.read(lambda tx: tx.outbox.listing(LYON, after=after, limit=2))

    first = await page(0)
    second = await page(first[-1].number)
    third = await page(second[-1].number)
    assert [r.message_id for r in first + second + third] == ids(9, 7, 5, 3, 1)
    assert await page(third[-1].number) == []


# --- voids -------------------------------------------------------------------------------------------


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
