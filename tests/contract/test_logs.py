"""Logs: append, compare-and-swap, triggers, notes, control entries."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.core.merkle import Hash, RightEdge, append, hash_leaf
from gateway.errors import StoreError
from gateway.ports import LogHead, LogKind, Step, StoredNote, Transaction
from gateway.storage.engine import Database
from gateway.storage.store import SqlStore
from tests.contract.builders import AUDIT, OWN, PEER, digest, edge_behind, grow

HOUR_MS = 3_600_000
NOTES = """
    SELECT n.size, whole.note FROM notes n LEFT JOIN whole_notes whole ON whole.number = n.number
    ORDER BY n.number
"""


def note(size: int, *, at_ms: int, cosigned: bool = False, word: str = "note") -> StoredNote:
    return StoredNote(
        origin=OWN,
        size=size,
        root=Hash(digest(size)),
        at_ms=at_ms,
        note=f"{word} at {size}".encode(),
        cosigned=cosigned,
    )


async def test_a_log_is_created_once_and_begins_empty(store: SqlStore) -> None:
    assert await store.read(lambda tx: tx.logs.head(OWN)) is None
    head = await store.write(Step.SETUP, lambda tx: tx.logs.create(OWN, LogKind.EXCHANGE))
    assert head == LogHead(origin=OWN, kind=LogKind.EXCHANGE, edge=RightEdge.empty())
    assert await store.read(lambda tx: tx.logs.head(OWN)) == head
    with pytest.raises(StoreError):
        await store.write(Step.SETUP, lambda tx: tx.logs.create(OWN, LogKind.EXCHANGE))


async def test_logs_are_listed_in_order_of_origin(store: SqlStore) -> None:
    def create(tx: Transaction) -> None:
        for origin in (PEER, OWN, AUDIT):
            grow(tx, origin, [b"one"])

    await store.write(Step.SETUP, create)
    heads = await store.read(lambda tx: tx.logs.heads())
    assert [(head.origin, head.kind, head.size) for head in heads] == [
        (AUDIT, LogKind.AUDIT, 1),
        (OWN, LogKind.EXCHANGE, 1),
        (PEER, LogKind.MIRROR, 1),
    ]


async def test_what_is_appended_is_read_back_across_logs_and_restarts(url: str) -> None:
    store = SqlStore.open(url)
    own = [f"own {n}".encode() for n in range(700)]
    peer = [f"peer {n}".encode() for n in range(300)]
    await store.write(Step.SETUP, lambda tx: grow(tx, OWN, own[:500]))
    await store.write(Step.SETUP, lambda tx: grow(tx, PEER, peer))
    await store.write(Step.SETUP, lambda tx: grow(tx, OWN, own[500:]))
    await store.close()

    store = SqlStore.open(url)

    def read(tx: Transaction) -> tuple[LogHead | None, list[bytes], list[bytes], list[Hash]]:
        return (
            tx.logs.head(OWN),
            tx.logs.entries(OWN, 0, 700),
            tx.logs.entries(PEER, 299, 300),
            tx.logs.tile_hashes(OWN, 1, 0, 2),
        )

    head, entries, last, hashes = await store.read(read)
    assert head is not None
    assert head.edge == edge_behind(own)
    assert entries == own
    assert last == peer[299:]
    assert hashes == [edge_behind(own[:256]).root(), edge_behind(own[256:512]).root()]
    await store.close()


@pytest.mark.parametrize("wanted", [(0, 4), (3, 4), (2, 5)])
async def test_entries_that_do_not_exist_are_an_error_and_never_a_short_answer(
    store: SqlStore, wanted: tuple[int, int]
) -> None:
    await store.write(Step.SETUP, lambda tx: grow(tx, OWN, [b"1", b"2", b"3"]))
    with pytest.raises(StoreError):
        await store.read(lambda tx: tx.logs.entries(OWN, *wanted))
    with pytest.raises(StoreError):
        await store.read(lambda tx: tx.logs.tile_hashes(OWN, 1, 0, 1))
    with pytest.raises(StoreError):
        await store.read(lambda tx: tx.logs.entries("fr.gateway.test/unknown", *wanted))
    assert await store.read(lambda tx: tx.logs.entries(OWN, 3, 3)) == []


def _extend(tx: Transaction, head: LogHead, entry: bytes) -> LogHead:
    grown = append(head.edge, [hash_leaf(entry)])
    return tx.logs.extend(head, entries=[entry], edge=grown.edge, tile_hashes=grown.tile_hashes)


@pytest.mark.parametrize("is_first", [True, False], ids=["first of its group", "behind another"])
async def test_the_writer_knows_no_head_that_was_undone(store: SqlStore, *, is_first: bool) -> None:
    await store.write(Step.SETUP, lambda tx: grow(tx, OWN, [b"kept"]))

    def undone(tx: Transaction) -> None:
        grow(tx, OWN, [b"undone"])
        msg = "after the append"
        raise StoreError(msg)

    writes: list[Coroutine[Any, Any, object]] = [store.write(Step.SEQUENCED, undone)]
    if not is_first:
        writes.insert(0, store.write(Step.SETUP, lambda tx: grow(tx, PEER, [b"beside"])))
    writes.append(store.write(Step.SEQUENCED, lambda tx: grow(tx, OWN, [b"next"])))
    results = await asyncio.gather(*writes, return_exceptions=True)

    assert isinstance(results[-2], StoreError)
    head = await store.read(lambda tx: tx.logs.head(OWN))
    assert head is not None
    assert head.edge == edge_behind([b"kept", b"next"])


async def test_the_head_moves_once_from_each_state(store: SqlStore) -> None:
    old = await store.write(Step.SETUP, lambda tx: tx.logs.create(OWN, LogKind.EXCHANGE))
    await store.write(Step.SEQUENCED, lambda tx: _extend(tx, old, b"first"))
    with pytest.raises(StoreError, match="another writer"):
        await store.write(Step.SEQUENCED, lambda tx: _extend(tx, old, b"second"))
    head = await store.read(lambda tx: tx.logs.head(OWN))
    assert head is not None
    assert head.edge == edge_behind([b"first"])
    assert await store.read(lambda tx: tx.logs.entries(OWN, 0, 1)) == [b"first"]


async def test_a_head_with_another_root_does_not_move(store: SqlStore) -> None:
    await store.write(Step.SETUP, lambda tx: grow(tx, OWN, [b"first"]))
    forged = LogHead(origin=OWN, kind=LogKind.EXCHANGE, edge=edge_behind([b"forged"]))
    with pytest.raises(StoreError, match="another writer"):
        await store.write(Step.SEQUENCED, lambda tx: _extend(tx, forged, b"second"))


async def test_a_log_that_does_not_exist_is_not_extended(store: SqlStore) -> None:
    absent = LogHead(origin=OWN, kind=LogKind.EXCHANGE, edge=RightEdge.empty())
    with pytest.raises(StoreError):
        await store.write(Step.SEQUENCED, lambda tx: _extend(tx, absent, b"entry"))


async def test_an_edge_that_does_not_stand_behind_the_entries_is_refused(store: SqlStore) -> None:
    def work(tx: Transaction) -> None:
        head = tx.logs.create(OWN, LogKind.EXCHANGE)
        tx.logs.extend(head, entries=[b"one", b"two"], edge=edge_behind([b"one"]), tile_hashes=[])

    with pytest.raises(ValueError, match="edge"):
        await store.write(Step.SEQUENCED, work)


async def test_a_head_of_an_earlier_holder_of_the_lease_does_not_move(url: str) -> None:
    """A process that lost the lease keeps its epoch; the rows have the new one."""
    store = SqlStore.open(url)
    head = await store.write(Step.SETUP, lambda tx: tx.logs.create(OWN, LogKind.EXCHANGE))
    with _engine(url).begin() as connection:
        connection.execute(sa.text("UPDATE logs SET epoch = epoch + 1"))
    with pytest.raises(StoreError, match="another writer"):
        await store.write(Step.SEQUENCED, lambda tx: _extend(tx, head, b"entry"))
    await store.close()

    store = SqlStore.open(url)
    await store.write(Step.SEQUENCED, lambda tx: _extend(tx, head, b"entry"))
    await store.close()


def _engine(url: str) -> sa.Engine:
    return Database.at(url, read_only=False).engine


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE runs SET packed = '' WHERE start = 0",
        "UPDATE runs SET start = start + 1000",
        "UPDATE runs SET entries = entries - 1",
        "DELETE FROM runs WHERE start = 0",
        "DELETE FROM runs",
        "UPDATE tile_hashes SET hash = ''",
        "DELETE FROM tile_hashes",
        "DELETE FROM logs",
        "UPDATE logs SET size = size - 1",
        "UPDATE logs SET origin = 'fr.gateway.test/other'",
        "DELETE FROM notes",
        "UPDATE notes SET size = 1",
        "UPDATE notes SET root = ''",
        "UPDATE notes SET at_ms = 7",
        "UPDATE whole_notes SET note = ''",
        "TRUNCATE runs",
        "TRUNCATE tile_hashes",
        "TRUNCATE logs CASCADE",
        "TRUNCATE notes CASCADE",
    ],
)
async def test_history_cannot_be_changed_by_a_foreign_tool(url: str, store: SqlStore, statement: str) -> None:
    if statement.startswith("TRUNCATE") and url.startswith("sqlite"):
        pytest.skip("SQLite has no TRUNCATE")

    def fill(tx: Transaction) -> None:
        grow(tx, OWN, [f"{n}".encode() for n in range(300)])
        tx.logs.put_note(note(300, at_ms=5))

    await store.write(Step.SETUP, fill)
    with (
        pytest.raises(sa.exc.IntegrityError, match="append-only"),
        _engine(url).begin() as connection,
    ):
        connection.execute(sa.text(statement))
    assert len(await store.read(lambda tx: tx.logs.entries(OWN, 0, 300))) == 300


async def test_the_newest_note_is_the_one_of_the_largest_size(store: SqlStore) -> None:
    await store.write(Step.SETUP, lambda tx: tx.logs.create(OWN, LogKind.EXCHANGE))
    assert await store.read(lambda tx: tx.logs.newest_note(OWN)) is None
    assert await store.read(lambda tx: tx.logs.newest_note(PEER)) is None
    for one in (note(3, at_ms=10), note(7, at_ms=20), note(5, at_ms=30)):
        await store.write(Step.SIGNED, lambda tx, n=one: tx.logs.put_note(n))  # type: ignore[misc]
    assert await store.read(lambda tx: tx.logs.newest_note(OWN)) == note(7, at_ms=20)


async def test_of_two_notes_of_one_size_the_later_one_is_the_newest(store: SqlStore) -> None:
    await store.write(Step.SETUP, lambda tx: tx.logs.create(OWN, LogKind.EXCHANGE))
    for one in (note(3, at_ms=10), note(3, at_ms=10, word="again")):
        await store.write(Step.SIGNED, lambda tx, n=one: tx.logs.put_note(n))  # type: ignore[misc]
    assert await store.read(lambda tx: tx.logs.newest_note(OWN)) == note(3, at_ms=10, word="again")


async def test_a_cosigned_note_is_kept_beside_larger_ones_that_are_only_signed(
    store: SqlStore,
) -> None:
    signed = [note(size, at_ms=10 + size) for size in (10, 20, 30)]
    cosigned = note(20, at_ms=50, cosigned=True)

    def keep(tx: Transaction) -> None:
        tx.logs.create(OWN, LogKind.EXCHANGE)
        for one in signed:
            tx.logs.put_note(one)
        assert tx.logs.newest_note(OWN, cosigned=True) is None
        tx.logs.put_note(cosigned)

    await store.write(Step.SIGNED, keep)
    assert await store.read(lambda tx: tx.logs.newest_note(OWN)) == signed[-1]
    assert await store.read(lambda tx: tx.logs.newest_note(OWN, cosigned=True)) == cosigned
    last = note(30, at_ms=60, cosigned=True)
    await store.write(Step.DELIVERED, lambda tx: tx.logs.put_note(last))
    assert await store.read(lambda tx: tx.logs.newest_note(OWN)) == last


async def test_the_newest_note_and_one_an_hour_are_kept_whole_of_others_the_facts(
    url: str, store: SqlStore
) -> None:
    times = [10, 20, HOUR_MS - 1, HOUR_MS, HOUR_MS + 5, 5 * HOUR_MS + 7, 5 * HOUR_MS + 8]

    def keep(tx: Transaction) -> None:
        tx.logs.create(OWN, LogKind.EXCHANGE)
        for size, at_ms in enumerate(times, 1):
            tx.logs.put_note(note(size, at_ms=at_ms))
        # One that arrives late is a fact only.
        tx.logs.put_note(note(2, at_ms=30))
        # So is one that comes without its bytes, and it hides no other.
        tx.logs.put_note(replace(note(9, at_ms=40), note=None))

    await store.write(Step.SIGNED, keep)
    with _engine(url).connect() as connection:
        rows = connection.execute(sa.text(NOTES)).all()
    whole = [row[0] for row in rows if row[1] is not None]
    assert [row[0] for row in rows] == [1, 2, 3, 4, 5, 6, 7, 2, 9]
    assert whole == [1, 4, 6, 7]
    newest = await store.read(lambda tx: tx.logs.newest_note(OWN))
    assert newest is not None
    assert newest.size == 7
    for most, size in ((8, 7), (7, 7), (5, 4), (4, 4), (3, 1), (1, 1)):
        kept = await store.read(lambda tx, most=most: tx.logs.newest_note(OWN, at_most=most))  # type: ignore[misc]
        assert kept == note(size, at_ms=times[size - 1])
    assert await store.read(lambda tx: tx.logs.newest_note(OWN, at_most=0)) is None


async def test_notes_of_an_unknown_log_are_refused(store: SqlStore) -> None:
    with pytest.raises(StoreError):
        await store.write(Step.SIGNED, lambda tx: tx.logs.put_note(note(1, at_ms=1)))


async def test_the_newest_control_entries_come_in_the_order_of_the_log(store: SqlStore) -> None:
    def write(tx: Transaction) -> None:
        tx.logs.create(OWN, LogKind.EXCHANGE)
        for index in range(5):
            tx.logs.put_control(OWN, 7, index, b"agreement %d" % index)
        tx.logs.put_control(OWN, 4, 9, b"key")

    await store.write(Step.SETUP, write)
    found = await store.read(lambda tx: tx.logs.controls(OWN, 7, limit=3))
    assert found == [b"agreement 2", b"agreement 3", b"agreement 4"]
    assert await store.read(lambda tx: tx.logs.controls(PEER, 7, limit=3)) == []


async def test_the_newest_control_entry_of_each_kind_is_found(store: SqlStore) -> None:
    def keep(tx: Transaction) -> None:
        tx.logs.create(OWN, LogKind.EXCHANGE)
        tx.logs.create(PEER, LogKind.MIRROR)
        tx.logs.put_control(OWN, 4, 1, b"key 1")
        tx.logs.put_control(OWN, 4, 90, b"key 90")
        tx.logs.put_control(OWN, 7, 95, b"agreement")
        tx.logs.put_control(PEER, 4, 200, b"key of the peer")

    await store.write(Step.SETUP, keep)
    found = await store.read(
        lambda tx: [tx.logs.newest_control(*which) for which in ((OWN, 4), (OWN, 7), (PEER, 4), (PEER, 7))]
    )
    assert found == [(90, b"key 90"), (95, b"agreement"), (200, b"key of the peer"), None]
