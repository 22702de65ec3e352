"""Appending what the database had forgotten: entries as they were, effects as far as they apply."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.encoding import encode
from gateway.core.entries import (
    AgreementEntry,
    AnchorEntry,
    CollectedEntry,
    Collection,
    Entry,
    KemKeyEntry,
    Kind,
    MessageEntry,
    ReceiptEntry,
    VoidEntry,
    encode_entry,
)
from gateway.core.merkle import hash_leaf, root_of
from gateway.core.message.registry import Catalogue
from gateway.core.states import State
from gateway.node import refill
from gateway.node.log_writer import ensure_log
from gateway.node.pair import Pair
from gateway.node.refill import append_recovered
from gateway.ports import LogHead, LogKind, NewMessage, ReceiptDue, SentBundle, Step, Transaction
from gateway.storage.store import SqlStore
from tests.contract.builders import incoming, outgoing
from tests.unit.node.sealing import message
from tests.world import WorldClock

NOW_MS = 7_000


class Bench:
    def __init__(self, pair: Pair, store: SqlStore, catalogue: Catalogue, clock: WorldClock) -> None:
        self.origin = pair.exchange_origin
        self.peer_origin = pair.peer_origin
        self.store = store
        self.header = message(catalogue, clock.now_ms()).header

    async def append(self, *entries: Entry | bytes) -> LogHead:
        data = [entry if isinstance(entry, bytes) else encode_entry(entry) for entry in entries]

        def append(tx: Transaction) -> LogHead:
            head = ensure_log(tx, self.origin, LogKind.EXCHANGE)
            return append_recovered(tx, head, data, at_ms=NOW_MS)

        return await self.store.write(Step.RECOVERED, append)

    async def bundles(self) -> list[SentBundle]:
        return await self.store.read(lambda tx: tx.outbox.bundles_from(0, limit=99))

    async def accept(self, *messages: NewMessage) -> None:
        await self.store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert(messages))

    async def state(self, message_id: bytes) -> State:
        rows = await self.store.read(lambda tx: tx.threads.rows([message_id]))
        return rows[message_id].state

    def entry(self, message_id: bytes, *, size: int = 10) -> MessageEntry:
        return MessageEntry(
            header=replace(self.header, message_id=message_id).encode(),
            kem_key_id=bytes(8),
            bundle_id=bytes(16),
            slot=0,
            box_digest=bytes(48),
            ciphertext_digest=bytes(48),
            ciphertext_bytes=size,
        )


@pytest.fixture
async def bench(pair: Pair, store: SqlStore, catalogue: Catalogue, clock: WorldClock) -> Bench:
    return Bench(pair, store, catalogue, clock)


ANCHOR = AnchorEntry(origin="x/y", size=1, root=bytes(32))


async def test_entries_stand_in_the_log_as_they_were(bench: Bench) -> None:
    data = [encode_entry(ANCHOR), encode_entry(bench.entry(bytes(16))), encode((99, "of a later version"))]

    head = await bench.append(*data)

    assert head.edge.root() == root_of([hash_leaf(entry) for entry in data])
    assert await bench.store.read(lambda tx: tx.logs.entries(bench.origin, 0, 3)) == data
    (bundle,) = await bench.bundles()
    assert (bundle.start, bundle.end, bundle.root, bundle.messages) == (0, 3, head.edge.root(), 1)
    assert (bundle.box, bundle.note) == (None, None)


async def test_a_message_that_waits_here_was_sent_and_gets_its_place(bench: Bench) -> None:
    waiting, other = outgoing("waiting"), outgoing("other")
    await bench.accept(waiting, other)

    await bench.append(ANCHOR, bench.entry(waiting.message_id), bench.entry(b"\x09" * 16))

    assert await bench.state(waiting.message_id) is State.DELIVERED
    assert await bench.state(other.message_id) is State.ACCEPTED
    rows = await bench.store.read(lambda tx: tx.threads.rows([waiting.message_id]))
    assert rows[waiting.message_id].log_index == 1
    # One ciphertext for each message entry; nil for the message that nobody here knows.
    carried = await bench.store.read(lambda tx: tx.outbox.ciphertexts(0, 3))
    assert carried == [waiting.ciphertext, None]


async def test_a_header_of_a_later_version_keeps_its_place_among_the_ciphertexts(bench: Bench) -> None:
    await bench.append(replace(bench.entry(bytes(16)), header=b"\x90"))

    assert await bench.store.read(lambda tx: tx.outbox.ciphertexts(0, 1)) == [None]


async def test_void_numbers_end_what_waits_and_nothing_else(bench: Bench) -> None:
    first, second = outgoing("first", seq=1), outgoing("second", seq=2)
    second = replace(second, conversation_id=first.conversation_id)
    await bench.accept(first, second)

    await bench.append(
        VoidEntry(conversation_id=first.conversation_id, agency=first.from_agency, numbers=(1, 5))
    )

    assert await bench.state(first.message_id) is State.WITHDRAWN
    assert await bench.state(second.message_id) is State.ACCEPTED
    assert await bench.store.write(Step.SEQUENCED, lambda tx: tx.outbox.take_voids(limit=9)) == []


async def test_what_the_log_answered_is_not_due_any_more(bench: Bench) -> None:
    row = incoming("received", log_index=4)
    due = ReceiptDue(start=4, count=1, root=root_of([]), decided_ms=1, exceptions=())

    def receive(tx: Transaction) -> None:
        tx.inbox.insert([row])
        tx.inbox.put_receipt_due(due)
        tx.inbox.acknowledge([row.message_id], row.to_agencies[0], at_ms=2)

    await bench.store.write(Step.MIRRORED, receive)

    await bench.append(
        ReceiptEntry(origin=bench.peer_origin, start=4, count=1, root=bytes(32), decided_ms=1, exceptions=()),
        CollectedEntry(
            origin=bench.peer_origin,
            collections=(Collection(index=4, agency=row.to_agencies[0], at_ms=2),),
        ),
    )

    assert await bench.store.read(lambda tx: tx.inbox.due_receipts(limit=9)) == []
    assert await bench.store.read(lambda tx: tx.inbox.due_collections(limit=9)) == []


async def test_announcements_are_known_again(bench: Bench) -> None:
    key = KemKeyEntry(key_id=bytes(8), suite=1, public_key=bytes(1_665), not_before_ms=1, not_after_ms=2)
    agreement = AgreementEntry(types=(), effective_ms=1)

    await bench.append(ANCHOR, key, agreement)

    found = await bench.store.read(lambda tx: tx.logs.newest_control(bench.origin, Kind.KEM_KEY))
    assert found == (1, encode_entry(key))
    found = await bench.store.read(lambda tx: tx.logs.newest_control(bench.origin, Kind.AGREEMENT))
    assert found == (2, encode_entry(agreement))


async def test_runs_end_at_the_number_of_entries_that_a_bundle_may_have(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refill, "MAX_BUNDLE_ENTRIES", 4)

    await bench.append(*[ANCHOR] * 10)

    assert [(bundle.start, bundle.end) for bundle in await bench.bundles()] == [(0, 4), (4, 8), (8, 10)]


async def test_runs_end_where_their_ciphertexts_would_not_fit_into_a_bundle(bench: Bench) -> None:
    half = refill.MAX_CIPHERTEXT_BYTES // 2

    await bench.append(
        bench.entry(b"\x01" * 16, size=half),
        bench.entry(b"\x02" * 16, size=half - 4_096),
        ANCHOR,
        bench.entry(b"\x03" * 16, size=half),
        bench.entry(b"\x04" * 16, size=3 * half),
        ANCHOR,
    )

    assert [(bundle.start, bundle.end) for bundle in await bench.bundles()] == [
        (0, 3),
        (3, 4),
        (4, 5),
        (5, 6),
    ]


async def test_nothing_is_appended_for_nothing(bench: Bench) -> None:
    assert (await bench.append()).size == 0
    assert await bench.bundles() == []
