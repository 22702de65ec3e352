"""Incoming messages, acknowledgements, and the answers that are due."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest

from gateway.core.entries import Collection, ReceiptException, VoidEntry, encode_entry
from gateway.core.merkle import Hash
from gateway.core.states import State
from gateway.errors import StoreError
from gateway.ports import InboxRow, LostMessage, NewMessage, ReceiptDue, Step, Transaction
from gateway.storage.store import SqlStore
from tests.contract.builders import LYON, NEWARK, NICE, digest, identifier, incoming, outgoing

TALK = identifier("talk")


async def put(store: SqlStore, *messages: NewMessage) -> None:
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.insert(messages))


async def listing(
    store: SqlStore,
    agency: str = LYON,
    *,
    after: tuple[int, int] = (-1, 0),
    limit: int = 100,
    collected: bool = False,
) -> list[InboxRow]:
    return await store.read(
        lambda tx: tx.inbox.listing(agency, after=after, limit=limit, collected=collected)
    )


async def log_at_3(store: SqlStore, collections: Sequence[Collection]) -> None:
    await store.write(Step.SEQUENCED, lambda tx: tx.inbox.collections_logged(collections, log_index=3))


async def ack_all(
    store: SqlStore, *words: object, agency: str = LYON, at_ms: int = 50
) -> dict[bytes, tuple[int, bool]]:
    ids = [identifier(word) for word in words]
    return await store.write(Step.COLLECTED, lambda tx: tx.inbox.acknowledge(ids, agency, at_ms=at_ms))


async def ack(store: SqlStore, word: object, agency: str = LYON, at_ms: int = 50) -> bool | None:
    """Acknowledge one message; return whether only now, or None where it is not the agency's."""
    found = await ack_all(store, word, agency=agency, at_ms=at_ms)
    return found[identifier(word)][1] if found else None


def receipt(start: int, count: int, *exceptions: ReceiptException) -> ReceiptDue:
    return ReceiptDue(
        start=start, count=count, root=Hash(digest(start)), decided_ms=70 + start, exceptions=exceptions
    )


def names(rows: list[InboxRow]) -> list[bytes]:
    return [item.row.message_id for item in rows]


async def test_an_addressee_reads_a_message_with_its_content(store: SqlStore) -> None:
    message = incoming("m", log_index=12, to_agencies=(LYON, NICE), flags="gap")
    await put(store, message)
    for agency in (LYON, NICE):
        (item,) = await listing(store, agency)
        assert item == await store.read(lambda tx, a=agency: tx.inbox.find(identifier("m"), a))  # type: ignore[misc]
        assert (item.ciphertext, item.wrapped_key) == (message.ciphertext, message.wrapped_key)
        assert item.collected_ms is None
        assert (item.row.state, item.row.log_index, item.row.flags) == (State.RECEIVED, 12, "gap")
        assert item.row.to_agencies == (LYON, NICE)
        assert not item.row.outgoing


@pytest.mark.parametrize(("word", "agency"), [("m", NICE), ("m", NEWARK), ("unknown", LYON), ("own", LYON)])
async def test_whoever_is_not_an_addressee_finds_and_acknowledges_nothing(
    store: SqlStore, word: str, agency: str
) -> None:
    await put(store, incoming("m", log_index=0))
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([outgoing("own")]))
    assert await store.read(lambda tx: tx.inbox.find(identifier(word), agency)) is None
    assert await ack(store, word, agency) is None
    assert await store.read(lambda tx: tx.inbox.due_collections(limit=10)) == []


async def test_an_addressee_that_is_named_twice_has_one_copy(store: SqlStore) -> None:
    await put(store, incoming("m", log_index=0, to_agencies=(LYON, LYON)))
    assert names(await listing(store)) == [identifier("m")]


async def test_the_inbox_is_in_order_of_precedence_and_then_of_arrival(store: SqlStore) -> None:
    ranks = [3, 1, 3, 0, 1, 2]
    await put(store, *(incoming(n, log_index=n, rank=rank) for n, rank in enumerate(ranks)))
    expected = [identifier(n) for n in (3, 1, 4, 5, 0, 2)]
    assert names(await listing(store)) == expected

    # Page by page, also when something urgent arrives between two pages.
    first = await listing(store, limit=4)
    await put(store, incoming("urgent", log_index=9, rank=0))
    last = first[-1].row
    rest = await listing(store, after=(last.rank, last.number))
    assert names(first) + names(rest) == expected
    assert names(await listing(store, limit=2)) == [identifier(3), identifier("urgent")]


async def test_inboxes_are_apart(store: SqlStore) -> None:
    await put(store, incoming("l", log_index=0), incoming("n", log_index=1, to_agencies=(NICE,)))
    assert names(await listing(store)) == [identifier("l")]
    assert names(await listing(store, NICE)) == [identifier("n")]
    assert await listing(store, NEWARK) == []


async def test_an_acknowledged_message_moves_to_the_other_list(store: SqlStore) -> None:
    await put(store, incoming("m", log_index=4, to_agencies=(LYON, NICE)))
    assert await ack(store, "m", at_ms=51) is True
    assert await ack(store, "m", at_ms=99) is False
    assert await listing(store) == []
    (item,) = await listing(store, collected=True)
    assert (item.collected_ms, item.row.state) == (51, State.RECEIVED)
    assert names(await listing(store, NICE)) == [identifier("m")]
    assert await ack(store, "m", NICE) is True
    found = await store.read(lambda tx: tx.inbox.find(identifier("m"), LYON))
    assert found is not None
    assert found.row.state is State.COLLECTED
    # The counters are of outgoing messages.
    assert await store.read(lambda tx: tx.outbox.count(State.COLLECTED)) == 0


async def test_many_are_acknowledged_at_once_and_each_keeps_its_own_time(store: SqlStore) -> None:
    await put(
        store,
        incoming("before", log_index=0),
        incoming("one", log_index=1),
        incoming("both", log_index=2, to_agencies=(LYON, NICE)),
        incoming("theirs", log_index=3, to_agencies=(NICE,)),
    )
    await ack(store, "before", at_ms=40)

    found = await ack_all(store, "before", "one", "both", "theirs", "unknown", "one", at_ms=50)

    assert found == {
        identifier("before"): (40, False),
        identifier("one"): (50, True),
        identifier("both"): (50, True),
    }
    rows = await store.read(
        lambda tx: tx.threads.rows([identifier(word) for word in ("before", "one", "both", "theirs")])
    )
    states = {word: rows[identifier(word)].state for word in ("before", "one", "both", "theirs")}
    assert states == {
        "before": State.COLLECTED,
        "one": State.COLLECTED,
        "both": State.RECEIVED,  # the other addressee has not
        "theirs": State.RECEIVED,
    }


async def test_acknowledgements_are_due_until_they_are_logged(store: SqlStore) -> None:
    await put(store, *(incoming(n, log_index=10 + n, to_agencies=(LYON, NICE)) for n in range(3)))
    for word, agency in ((2, LYON), (0, NICE), (0, LYON)):
        await ack(store, word, agency, at_ms=60)
    due = [
        Collection(index=10, agency=LYON, at_ms=60),
        Collection(index=10, agency=NICE, at_ms=60),
        Collection(index=12, agency=LYON, at_ms=60),
    ]
    assert await store.read(lambda tx: tx.inbox.due_collections(limit=10)) == due
    assert await store.read(lambda tx: tx.inbox.due_collections(limit=2)) == due[:2]
    await store.write(Step.SEQUENCED, lambda tx: tx.inbox.collections_logged(due[:2], log_index=3))
    assert await store.read(lambda tx: tx.inbox.due_collections(limit=10)) == due[2:]
    assert await ack(store, 0) is False
    assert await store.read(lambda tx: tx.inbox.due_collections(limit=10)) == due[2:]


async def test_an_entry_names_all_acknowledgements_that_are_due_between_its_first_and_its_last(
    store: SqlStore,
) -> None:
    await put(store, *(incoming(n, log_index=10 + n) for n in range(3)))
    for word in range(3):
        await ack(store, word, at_ms=60)
    due = await store.read(lambda tx: tx.inbox.due_collections(limit=10))
    await store.write(Step.SEQUENCED, lambda tx: tx.inbox.collections_logged([], log_index=3))
    for wrong in ([due[0], due[2]], [*due[:2], due[1]], [due[2], due[0]]):
        with pytest.raises(StoreError, match="not those that are due"):
            await log_at_3(store, wrong)
    assert await store.read(lambda tx: tx.inbox.due_collections(limit=10)) == due
    await store.write(Step.SEQUENCED, lambda tx: tx.inbox.collections_logged(due, log_index=3))
    assert await store.read(lambda tx: tx.inbox.due_collections(limit=10)) == []


async def test_what_was_refused_for_good_is_known_however_often_it_was(store: SqlStore) -> None:
    await put(store, incoming("in", log_index=0))
    for _ in range(2):
        await store.write(Step.MIRRORED, lambda tx: tx.inbox.put_refused([identifier("refused")]))
    asked = [identifier(word) for word in ("refused", "in", "other", "refused")]
    assert await store.read(lambda tx: tx.inbox.refused(asked)) == {identifier("refused")}
    assert await store.read(lambda tx: tx.inbox.refused([])) == set()


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 1_000])
async def test_lists_of_any_length_are_asked_whole(store: SqlStore, count: int) -> None:
    await put(store, *(incoming(n, log_index=n) for n in range(count)))
    asked = [identifier(n) for n in range(count)]
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.put_refused(asked))
    assert await store.read(lambda tx: tx.inbox.refused(iter([*asked, identifier("x")]))) == set(asked)
    assert len(await store.read(lambda tx: tx.threads.rows(asked))) == count


async def test_a_message_is_not_stored_twice(store: SqlStore) -> None:
    await put(store, incoming("m", log_index=0))
    with pytest.raises(StoreError):
        await put(store, incoming("m", log_index=1))


async def test_receipts_are_due_in_order_of_the_mirror_until_they_are_logged(store: SqlStore) -> None:
    exception = ReceiptException(index=21, code=12, rule=3)
    bare = ReceiptException(index=22, code=4, rule=None)
    first, second, third = receipt(0, 20), receipt(20, 5, exception, bare), receipt(25, 1)
    for one in (third, first, second):
        await store.write(Step.MIRRORED, lambda tx, r=one: tx.inbox.put_receipt_due(r))  # type: ignore[misc]
    assert await store.read(lambda tx: tx.inbox.due_receipts(limit=10)) == [first, second, third]
    assert await store.read(lambda tx: tx.inbox.due_receipts(limit=1)) == [first]
    await store.write(Step.SEQUENCED, lambda tx: tx.inbox.receipts_logged([0, 25], log_index=8))
    assert await store.read(lambda tx: tx.inbox.due_receipts(limit=10)) == [second]


async def test_a_receipt_with_as_many_exceptions_as_a_bundle_has_entries_is_kept(
    store: SqlStore,
) -> None:
    every = tuple(ReceiptException(index=n, code=11, rule=200) for n in range(1_024))
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.put_receipt_due(receipt(0, 1_024, *every)))
    (found,) = await store.read(lambda tx: tx.inbox.due_receipts(limit=10))
    assert found.exceptions == every


async def test_an_incoming_message_names_its_receipt_once_it_is_logged(store: SqlStore) -> None:
    await put(store, incoming("m", log_index=21))
    before = await store.read(lambda tx: tx.inbox.find(identifier("m"), LYON))
    assert before is not None
    assert (before.row.decided_ms, before.row.receipt_index) == (None, None)
    for one in (receipt(0, 20), receipt(20, 5)):
        await store.write(Step.MIRRORED, lambda tx, r=one: tx.inbox.put_receipt_due(r))  # type: ignore[misc]
    await store.write(Step.SEQUENCED, lambda tx: tx.inbox.receipts_logged([0, 20], log_index=8))
    found = await store.read(lambda tx: tx.inbox.find(identifier("m"), LYON))
    assert found == replace(before, row=replace(before.row, decided_ms=90, receipt_index=8))


async def test_receipts_that_a_recovered_log_holds_are_due_no_more(store: SqlStore) -> None:
    for start in (0, 10, 20):
        await store.write(
            Step.MIRRORED,
            lambda tx, s=start: tx.inbox.put_receipt_due(receipt(s, 10)),  # type: ignore[misc]
        )
    await store.write(Step.RECOVERED, lambda tx: tx.inbox.receipts_recovered(0, 20, log_index=5))
    due = await store.read(lambda tx: tx.inbox.due_receipts(limit=10))
    assert [item.start for item in due] == [20]


async def test_collections_that_a_recovered_log_holds_count_for_messages_here_and_to_come(
    store: SqlStore,
) -> None:
    await put(store, incoming("here", log_index=1), incoming("acked", log_index=2))
    await ack(store, "acked", at_ms=33)
    recovered = [Collection(index=n, agency=LYON, at_ms=30) for n in (1, 2, 3)]
    for _ in range(2):
        await store.write(Step.RECOVERED, lambda tx: tx.inbox.collections_recovered(recovered, log_index=8))
    assert await store.read(lambda tx: tx.inbox.due_collections(limit=10)) == []
    assert await listing(store) == []

    await put(store, incoming("again", log_index=3), incoming("new", log_index=4))

    assert names(await listing(store)) == [identifier("new")]
    done = await listing(store, collected=True)
    assert {item.row.message_id: item.collected_ms for item in done} == {
        identifier("here"): 30,
        identifier("acked"): 33,
        identifier("again"): 30,
    }
    assert {item.row.state for item in done} == {State.COLLECTED}
    assert await store.read(lambda tx: tx.inbox.due_collections(limit=10)) == []


@pytest.mark.parametrize("agencies", [(LYON,), (LYON, NICE)])
async def test_a_message_that_was_lost_and_comes_again_is_collected_if_all_of_its_addressees_have_it(
    store: SqlStore, agencies: tuple[str, ...]
) -> None:
    """It stands at another place, and what was collected of it is due to be logged for that."""
    both = incoming("again", log_index=7, to_agencies=(LYON, NICE))
    known = [Collection(index=3, agency=agency, at_ms=30) for agency in agencies]
    lost = LostMessage(message_id=both.message_id, place=3, decided_ms=20)

    def come_again(tx: Transaction) -> None:
        tx.inbox.collections_recovered(known, log_index=8)
        tx.inbox.put_lost([lost])
        tx.inbox.insert([both])
        tx.inbox.found_again([(lost, 7)])

    await store.write(Step.MIRRORED, come_again)

    done = await listing(store, collected=True)
    whole = len(agencies) == 2
    assert [item.row.state for item in done] == [State.COLLECTED if whole else State.RECEIVED]
    due = await store.read(lambda tx: tx.inbox.due_collections(limit=10))
    assert due == [Collection(index=7, agency=agency, at_ms=30) for agency in agencies]


# --- voids ---------------------------------------------------------------------------


def void(numbers: Iterable[int], talk: bytes = TALK) -> VoidEntry:
    return VoidEntry(conversation_id=talk, agency=NEWARK, numbers=tuple(numbers))


async def declare(store: SqlStore, entries: Sequence[VoidEntry]) -> None:
    def put_voids(tx: Transaction) -> None:
        for entry in entries:
            tx.inbox.put_void(entry.conversation_id, entry.agency, entry.numbers)

    await store.write(Step.MIRRORED, put_voids)


async def known_void(store: SqlStore) -> tuple[int, list[int]]:
    """Return the highest number of the peer's agency in the conversation, and those it misses."""

    def look(tx: Transaction) -> tuple[int, list[int]]:
        missing = tx.threads.missing_numbers(TALK).get(NEWARK, [])
        return tx.threads.last_numbers([(TALK, NEWARK)])[TALK, NEWARK], missing

    return await store.read(look)


@pytest.mark.parametrize(
    ("declared", "last", "missing"),
    [
        ([[2, 4, 9]], 9, [1, 3, 5, 6, 7, 8]),
        # A peer that recovered may declare the same once more, together with others.
        ([[2, 4, 9], [2, 4, 9]], 9, [1, 3, 5, 6, 7, 8]),
        ([[2, 4, 9], [1, 9], [3, 4, 9]], 9, [5, 6, 7, 8]),
        ([[9], [4, 9], [4, 8, 9], [4, 8, 9], [6, 7]], 9, [1, 2, 3, 5]),
        ([[2, 4], list(range(1, 901)), [900]], 900, []),
    ],
)
async def test_numbers_are_void_however_entries_share_them(
    store: SqlStore, declared: list[list[int]], last: int, missing: list[int]
) -> None:
    await declare(store, [void(numbers) for numbers in declared])
    assert await known_void(store) == (last, missing)


def _stored_bytes(url: str) -> int:
    """Return what the numbers that are void take on disk."""
    if url.startswith("postgresql"):
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT pg_total_relation_size('voids')").fetchone()
            assert row is not None
            return int(row[0])
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        pages, size = (connection.execute(f"PRAGMA page_{word}").fetchone()[0] for word in ("count", "size"))
    return int(pages * size)


TALKS = [identifier(("talk", n)) for n in range(1_000)]


@pytest.mark.parametrize(
    ("entries", "most"),
    [
        pytest.param([void(range(n, n + 2_000, 2)) for n in range(1, 98_000, 2_000)], 2, id="every second"),
        pytest.param([void(range(1, 128), talk) for talk in TALKS], 2, id="low numbers"),
        pytest.param([void(range(1, 1_001))] * 50, 2, id="the same again"),
        # A row takes PostgreSQL more than such an entry takes on the wire.
        pytest.param([void([1], talk) for talk in TALKS], 5, id="one number"),
    ],
)
async def test_what_a_void_entry_takes_on_disk_follows_from_what_the_peer_sends(
    store: SqlStore, url: str, entries: list[VoidEntry], most: int
) -> None:
    """Beside the entry itself, which the mirror holds. A row a number took up to 31 times what was sent."""
    before = _stored_bytes(url)
    await declare(store, entries)
    sent = sum(len(encode_entry(entry)) for entry in entries)
    assert _stored_bytes(url) - before <= most * sent + 65_536
