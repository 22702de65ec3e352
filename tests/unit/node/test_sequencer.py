"""Bundles: what goes into one, what waits for the next, and what is never signed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.core.cosignature import verify_log_note
from gateway.core.entries import (
    AnchorEntry,
    CollectedEntry,
    KemKeyEntry,
    MessageEntry,
    ReceiptEntry,
    ReceiptException,
    VoidEntry,
    decode_entry,
)
from gateway.core.envelope import SUITE, decode_header
from gateway.core.merkle import Hash
from gateway.core.message.registry import Catalogue
from gateway.core.message.schedule import Schedule
from gateway.core.states import State
from gateway.node.answers import ANCHOR_EVERY, MAX_ANSWERS, _runs
from gateway.node.audit_log import AuditLog
from gateway.node.log_writer import ensure_log, extend_log
from gateway.node.pair import Pair
from gateway.node.sequencer import MAX_MESSAGE_BYTES, Sequencer
from gateway.node.vault import Vault
from gateway.node.workers import Workers
from gateway.ports import LogKind, NewMessage, ReceiptDue, Step, Transaction
from gateway.storage.highwater import FileHighWater
from gateway.storage.store import SqlStore
from tests.contract.builders import incoming, outgoing
from tests.unit.node.sealing import message
from tests.world import WorldClock, WorldEntropy, WorldKeyring


class Bench:
    def __init__(
        self,
        pair: Pair,
        store: SqlStore,
        catalogue: Catalogue,
        keyring: WorldKeyring,
        clock: WorldClock,
        workers: Workers,
        marks: Path,
    ) -> None:
        self.pair, self.store, self.keyring, self.clock = pair, store, keyring, clock
        self.origin = pair.exchange_origin
        self.vault = Vault(keyring.storage_key)
        self.high_water = FileHighWater(marks)
        self.header = message(catalogue, clock.now_ms()).header.encode()
        self.audit = AuditLog(pair)
        self.sequencer = Sequencer(
            pair=pair,
            schedule=Schedule(catalogue=catalogue),
            store=store,
            keyring=keyring,
            vault=self.vault,
            audit=self.audit,
            high_water=self.high_water,
            clock=clock,
            entropy=WorldEntropy(),
            workers=workers,
        )

    def meet(self, peer: WorldKeyring) -> bytes:
        """Let the peer announce a key to seal for."""
        key_id, public_key = peer.create_kem_key(1)
        self.sequencer.use_peer_key(
            KemKeyEntry(key_id=key_id, suite=SUITE, public_key=public_key, not_before_ms=1, not_after_ms=2)
        )
        return key_id

    async def accept(self, *messages: NewMessage) -> None:
        await self.store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert(messages))

    def waiting(self, word: object, *, size: int = 100, **changes: Any) -> NewMessage:
        made = outgoing(word, **changes)
        wrapped = self.vault.wrap(bytes(32), message_id=made.message_id)  # type: ignore[arg-type]
        return outgoing(word, header=self.header, ciphertext=bytes(size), wrapped_key=wrapped, **changes)

    async def grow(self, origin: str, count: int, kind: LogKind) -> Hash:
        """Let another log of this node grow."""

        def grow(tx: Transaction) -> Hash:
            head = ensure_log(tx, origin, kind)
            entries = [b"entry %d" % number for number in range(head.size, head.size + count)]
            return extend_log(tx, head, entries).edge.root()

        return await self.store.write(Step.MIRRORED, grow)


@pytest.fixture
async def bench(
    pair: Pair,
    store: SqlStore,
    catalogue: Catalogue,
    keyring: WorldKeyring,
    clock: WorldClock,
    workers: Workers,
    tmp_path: Path,
) -> Any:
    bench = Bench(pair, store, catalogue, keyring, clock, workers, tmp_path / "high-water")
    await bench.sequencer.open()
    yield bench
    bench.high_water.close()


def decoded(entries: tuple[bytes, ...]) -> list[Any]:
    return [decode_entry(data) for data in entries]


# --- opening -----------------------------------------------------------------------------------


async def test_opening_signs_what_is_there_and_remembers_it_apart(bench: Bench) -> None:
    verifier = bench.keyring.own_verifiers(bench.origin)[0]
    bundles = await bench.store.read(lambda tx: tx.outbox.bundles_from(0, limit=9))

    for stored in bundles:
        assert stored.note is not None
        checkpoint = verify_log_note(stored.note, verifier=verifier).checkpoint
        assert (checkpoint.size, checkpoint.root) == (stored.end, stored.root)
    assert bench.high_water.read()[bench.origin] == (3, bundles[-1].root)


async def test_nothing_is_formed_when_nothing_is_due(bench: Bench) -> None:
    assert await bench.sequencer.next_shipment(max_messages=100) is None
    assert await bench.sequencer.reload(3) is None


# --- messages ----------------------------------------------------------------------------------


async def test_without_a_key_of_the_peer_messages_wait_and_the_rest_leaves(
    bench: Bench, peer_keyring: WorldKeyring
) -> None:
    await bench.accept(bench.waiting("a"))
    await bench.store.write(Step.EXPIRED, lambda tx: tx.outbox.put_void(bytes(16), "FR.DGDDI.SARC", 3))

    shipment = await bench.sequencer.next_shipment(max_messages=100)

    assert shipment is not None
    assert [type(entry) for entry in decoded(shipment.bundle.entries)] == [VoidEntry]
    assert (shipment.bundle.boxes, shipment.bundle.ciphertexts, shipment.messages) == ((), (), 0)
    assert await bench.sequencer.next_shipment(max_messages=100) is None
    bench.meet(peer_keyring)
    shipment = await bench.sequencer.next_shipment(max_messages=100)
    assert shipment is not None
    assert shipment.messages == 1


async def test_messages_share_one_box_in_their_slots_for_the_newest_key(
    bench: Bench, peer_keyring: WorldKeyring
) -> None:
    bench.meet(peer_keyring)
    newest = bench.meet(peer_keyring)
    await bench.accept(*[bench.waiting(word) for word in "abc"])

    shipment = await bench.sequencer.next_shipment(max_messages=100)

    assert shipment is not None
    entries = decoded(shipment.bundle.entries)
    assert [entry.slot for entry in entries] == [0, 1, 2]
    assert {entry.kem_key_id for entry in entries} == {newest}
    assert len(shipment.bundle.boxes) == 1
    assert await bench.store.read(lambda tx: tx.outbox.count(State.SENT)) == 3
    assert [entry.header for entry in entries] == [bench.header] * 3
    assert decode_header(bench.header).to_node == bench.pair.node


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_a_bundle_takes_no_more_messages_than_it_is_told(
    bench: Bench, peer_keyring: WorldKeyring, limit: int
) -> None:
    bench.meet(peer_keyring)
    await bench.accept(*[bench.waiting(number) for number in range(6)])

    shipment = await bench.sequencer.next_shipment(max_messages=limit)

    assert shipment is not None
    assert shipment.messages == limit


async def test_a_bundle_tells_whether_it_left_anything(bench: Bench, peer_keyring: WorldKeyring) -> None:
    bench.meet(peer_keyring)
    await bench.accept(*[bench.waiting(word) for word in "abc"])

    first = await bench.sequencer.next_shipment(max_messages=2)
    second = await bench.sequencer.next_shipment(max_messages=2)

    assert first is not None
    assert second is not None
    assert [(first.waiting, first.more), (second.waiting, second.more)] == [(1, True), (0, False)]


async def test_void_numbers_of_an_agency_in_a_conversation_share_an_entry(bench: Bench) -> None:
    places = [(b"\x01" * 16, "FR.A", 7), (b"\x01" * 16, "FR.A", 3), (b"\x01" * 16, "FR.B", 3)]

    def declare(tx: Transaction) -> None:
        for place in (*places, (b"\x02" * 16, "FR.B", 3)):
            tx.outbox.put_void(*place)

    await bench.store.write(Step.EXPIRED, declare)

    shipment = await bench.sequencer.next_shipment(max_messages=0)

    assert shipment is not None
    assert decoded(shipment.bundle.entries) == [
        VoidEntry(conversation_id=b"\x01" * 16, agency="FR.A", numbers=(3, 7)),
        VoidEntry(conversation_id=b"\x01" * 16, agency="FR.B", numbers=(3,)),
        VoidEntry(conversation_id=b"\x02" * 16, agency="FR.B", numbers=(3,)),
    ]


async def test_answers_that_a_bundle_has_no_room_for_are_left_for_the_next(bench: Bench) -> None:
    def declare(tx: Transaction) -> None:
        for number in range(1, MAX_ANSWERS + 2):
            tx.outbox.put_void(number.to_bytes(16), "FR.DGDDI.SARC", number)

    await bench.store.write(Step.EXPIRED, declare)

    first = await bench.sequencer.next_shipment(max_messages=0)
    second = await bench.sequencer.next_shipment(max_messages=0)

    assert first is not None
    assert second is not None
    assert [(len(first.bundle.entries), first.more), (len(second.bundle.entries), second.more)] == [
        (MAX_ANSWERS, True),
        (1, False),
    ]


async def test_a_bundle_of_large_messages_stays_below_its_limit(
    bench: Bench, peer_keyring: WorldKeyring
) -> None:
    bench.meet(peer_keyring)
    size = MAX_MESSAGE_BYTES // 5
    await bench.accept(*[bench.waiting(number, size=size) for number in range(7)])

    counts = []
    while (shipment := await bench.sequencer.next_shipment(max_messages=1_000)) is not None:
        assert sum(len(item or b"") for item in shipment.bundle.ciphertexts) <= MAX_MESSAGE_BYTES
        counts.append(shipment.messages)

    assert counts == [5, 2]


async def test_a_stored_bundle_is_reloaded_byte_for_byte_and_after_its_cosignature_without_its_box(
    bench: Bench, peer_keyring: WorldKeyring
) -> None:
    bench.meet(peer_keyring)
    await bench.accept(bench.waiting("a"), bench.waiting("b"))
    shipment = await bench.sequencer.next_shipment(max_messages=10)
    assert shipment is not None
    # Whoever writes next finds the note stored.
    await bench.store.write(Step.DELIVERED, lambda _: None)

    for start in (3, 4):
        again = await bench.sequencer.reload(start)
        assert again == shipment
    await bench.store.write(Step.DELIVERED, lambda tx: tx.outbox.delivered(5, at_ms=9))

    without = await bench.sequencer.reload(3)
    assert without is not None
    assert without.bundle.boxes == ()
    assert without.bundle.entries == shipment.bundle.entries
    assert without.bundle.ciphertexts == shipment.bundle.ciphertexts
    verifier = bench.keyring.own_verifiers(bench.origin)[0]
    first = verify_log_note(shipment.bundle.note, verifier=verifier).checkpoint
    assert verify_log_note(without.bundle.note, verifier=verifier).checkpoint == first


async def test_what_was_taken_comes_back_when_the_write_fails(
    bench: Bench, peer_keyring: WorldKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.clock.advance(86_401)
    assert bench.sequencer.rotate_kem() is True

    async def fail(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(bench.store, "write", fail)
        with pytest.raises(asyncio.CancelledError):
            await bench.sequencer.next_shipment(max_messages=10)

    shipment = await bench.sequencer.next_shipment(max_messages=10)
    assert shipment is not None
    assert [type(entry) for entry in decoded(shipment.bundle.entries)] == [KemKeyEntry]


# --- answers -----------------------------------------------------------------------------------


def due(start: int, count: int, *exceptions: int) -> ReceiptDue:
    items = tuple(ReceiptException(index=index, code=1, rule=None) for index in exceptions)
    return ReceiptDue(
        start=start, count=count, root=Hash(bytes([start % 256]) * 32), decided_ms=start, exceptions=items
    )


def test_neighbouring_receipts_share_an_entry_as_far_as_it_holds_their_exceptions() -> None:
    first, second, third = due(0, 2), due(2, 3), due(6, 1)
    assert _runs([first, second, third]) == [[first, second], [third]]
    assert _runs([]) == []

    full = due(0, 1_024, *range(1_024))
    one, none = due(1_024, 1, 1_024), due(1_024, 1)
    assert _runs([full, one]) == [[full], [one]]
    assert _runs([full, none]) == [[full, none]]


async def test_receipts_and_collections_are_logged_once(bench: Bench) -> None:
    row = incoming("m", log_index=4)

    def receive(tx: Transaction) -> None:
        tx.inbox.insert([row])
        tx.inbox.put_receipt_due(due(4, 1))
        tx.inbox.put_receipt_due(due(5, 2, 6))
        tx.inbox.acknowledge([row.message_id], row.to_agencies[0], at_ms=2)

    await bench.store.write(Step.MIRRORED, receive)

    shipment = await bench.sequencer.next_shipment(max_messages=0)

    assert shipment is not None
    receipt, collected = decoded(shipment.bundle.entries)
    assert isinstance(receipt, ReceiptEntry)
    assert (receipt.origin, receipt.start, receipt.count) == (bench.pair.peer_origin, 4, 3)
    assert (receipt.root, receipt.decided_ms) == (due(5, 2).root, 5)
    assert [item.index for item in receipt.exceptions] == [6]
    assert isinstance(collected, CollectedEntry)
    assert [(item.index, item.at_ms) for item in collected.collections] == [(4, 2)]
    assert await bench.sequencer.next_shipment(max_messages=0) is None


async def test_a_receipt_for_the_largest_bundle_of_bad_messages_can_be_written_and_read(bench: Bench) -> None:
    await bench.store.write(
        Step.MIRRORED, lambda tx: tx.inbox.put_receipt_due(due(3, 1_024, *range(3, 1_027)))
    )

    shipment = await bench.sequencer.next_shipment(max_messages=0)

    assert shipment is not None
    (receipt,) = decoded(shipment.bundle.entries)
    assert isinstance(receipt, ReceiptEntry)
    assert len(receipt.exceptions) == 1_024


# --- anchors -----------------------------------------------------------------------------------


async def test_anchors_ride_along_with_bundles_that_leave_anyway(bench: Bench) -> None:
    root = await bench.grow(bench.pair.peer_origin, ANCHOR_EVERY, LogKind.MIRROR)
    # Each bundle is anchored in the audit log, so two bring it to one less than the distance; key and
    # catalogue of the opening have an event each.
    await bench.grow(bench.pair.audit_origin, ANCHOR_EVERY - 5, LogKind.AUDIT)
    assert await bench.sequencer.next_shipment(max_messages=0) is None

    await bench.store.write(Step.EXPIRED, lambda tx: tx.outbox.put_void(bytes(16), "FR.DGDDI.SARC", 1))
    shipment = await bench.sequencer.next_shipment(max_messages=0)

    assert shipment is not None
    _, anchor = decoded(shipment.bundle.entries)
    assert anchor == AnchorEntry(origin=bench.pair.peer_origin, size=ANCHOR_EVERY, root=root)
    await bench.store.write(Step.EXPIRED, lambda tx: tx.outbox.put_void(bytes(16), "FR.DGDDI.SARC", 2))
    shipment = await bench.sequencer.next_shipment(max_messages=0)
    assert shipment is not None
    assert len(shipment.bundle.entries) == 1, "what was anchored is not anchored again at once"


async def test_of_the_audit_log_the_generation_is_anchored_that_is_written(bench: Bench) -> None:
    await bench.grow(bench.pair.audit_origin, ANCHOR_EVERY, LogKind.AUDIT)
    successor = f"{bench.pair.audit_origin}/2"
    root = await bench.grow(successor, ANCHOR_EVERY, LogKind.AUDIT)
    bench.audit.generation = 2
    await bench.store.write(Step.EXPIRED, lambda tx: tx.outbox.put_void(bytes(16), "FR.DGDDI.SARC", 1))

    shipment = await bench.sequencer.next_shipment(max_messages=0)

    assert shipment is not None
    anchors = [item for item in decoded(shipment.bundle.entries) if isinstance(item, AnchorEntry)]
    assert anchors == [AnchorEntry(origin=successor, size=ANCHOR_EVERY, root=root)]


async def test_entries_of_messages_stand_behind_all_others(bench: Bench, peer_keyring: WorldKeyring) -> None:
    bench.meet(peer_keyring)
    await bench.accept(bench.waiting("a"))
    await bench.grow(bench.pair.peer_origin, ANCHOR_EVERY, LogKind.MIRROR)
    await bench.store.write(Step.MIRRORED, lambda tx: tx.inbox.put_receipt_due(due(4, 1)))
    await bench.store.write(Step.EXPIRED, lambda tx: tx.outbox.put_void(bytes(16), "FR.DGDDI.SARC", 1))

    shipment = await bench.sequencer.next_shipment(max_messages=5)

    assert shipment is not None
    assert [type(entry) for entry in decoded(shipment.bundle.entries)] == [
        VoidEntry,
        ReceiptEntry,
        AnchorEntry,
        MessageEntry,
    ]
