"""What the peer's entries mean here, and what is on record when they mean nothing good."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from gateway.core.bundle import MAX_BUNDLE_ENTRIES
from gateway.core.entries import (
    AgreementEntry,
    AnchorEntry,
    CollectedEntry,
    Collection,
    Entry,
    EventEntry,
    IncidentEntry,
    IncidentKind,
    KemKeyEntry,
    KeyStatementEntry,
    ReceiptEntry,
    ReceiptException,
    VoidEntry,
    encode_entry,
)
from gateway.core.envelope import SUITE
from gateway.core.merkle import Hash, HashReader, RightEdge, edge_at, hash_leaf, root_of
from gateway.core.message.draft import MAX_SEQ
from gateway.core.message.schedule import Announced
from gateway.core.receipt import ExceptionCode
from gateway.core.states import State
from gateway.errors import PeerError
from gateway.node.log_writer import append_bundle, ensure_log
from gateway.node.mirror import MOST_TOLD, TOLD_MS, Effects, MirrorReader
from gateway.node.own_roots import AT_ONCE, OwnRoots
from gateway.node.pair import Pair
from gateway.ports import Incident, LogHead, LogKind, Step, Transaction
from gateway.storage.store import SqlStore
from tests.contract.builders import bundle as stored_bundle
from tests.contract.builders import outgoing
from tests.world import WorldKeyring

NOW_MS = 9_000
ANCHORS = [encode_entry(AnchorEntry(origin="x/y", size=number, root=bytes(32))) for number in range(6)]


class Bench:
    def __init__(self, pair: Pair, store: SqlStore, keyring: WorldKeyring) -> None:
        self.pair, self.store, self.keyring = pair, store, keyring
        self.keys: list[KemKeyEntry] = []
        self.reader = MirrorReader(pair=pair, keyring=keyring, on_kem_key=self.keys.append)

    async def grow(self, count: int) -> LogHead:
        """Let our own log hold some entries; return its head."""
        origin = self.pair.exchange_origin
        return await self.store.write(
            Step.SEQUENCED, lambda tx: append_bundle(tx, origin, ANCHORS[:count], at_ms=1)
        )

    async def send(self, *, start: int, count: int = 1) -> None:
        """Let messages stand at the end of our own log, in the last entries of it."""
        messages = [outgoing(f"sent {start + slot}") for slot in range(count)]

        def send(tx: Transaction) -> None:
            tx.outbox.insert(messages)
            waiting = tx.outbox.waiting(limit=count, max_bytes=1 << 20)
            places = [(item.number, start + slot) for slot, item in enumerate(waiting)]
            tx.outbox.mark_sent(places, at_ms=2)

        await self.store.write(Step.SEQUENCED, send)

    async def keep(self, *entries: Entry, start: int = 10) -> Effects:
        numbered = list(enumerate(entries, start))
        return await self.store.write(Step.MIRRORED, lambda tx: self.reader.keep(tx, numbered, (), NOW_MS))

    async def incidents(self) -> list[Incident]:
        return await self.store.read(lambda tx: tx.facts.incidents(limit=99))

    async def kinds(self) -> list[int]:
        return [item.kind for item in await self.incidents()]

    async def count(self, state: State) -> int:
        return await self.store.read(lambda tx: tx.outbox.count(state))


@pytest.fixture
async def bench(pair: Pair, store: SqlStore, keyring: WorldKeyring) -> Bench:
    return Bench(pair, store, keyring)


def receipt(head: LogHead, **changes: object) -> ReceiptEntry:
    entry = ReceiptEntry(
        origin=head.origin,
        start=0,
        count=head.size,
        root=head.edge.root(),
        decided_ms=5,
        exceptions=(),
    )
    return replace(entry, **changes)  # type: ignore[arg-type]


# --- receipts and collections --------------------------------------------------------------


async def test_a_receipt_for_our_log_as_it_is_moves_messages(bench: Bench) -> None:
    head = await bench.grow(3)
    await bench.send(start=1, count=2)

    effects = await bench.keep(receipt(head))

    assert (effects.messages_moved, effects.sending_due) == (True, False)
    assert await bench.count(State.RECEIVED) == 2
    assert await bench.kinds() == []


async def test_a_receipt_that_asks_for_a_message_once_more_makes_sending_due(bench: Bench) -> None:
    head = await bench.grow(3)
    await bench.send(start=1, count=2)
    lost = ReceiptException(index=2, code=ExceptionCode.CONTENT_LOST, rule=None)

    effects = await bench.keep(receipt(head, exceptions=(lost,)))

    assert effects.sending_due is True
    assert (await bench.count(State.RECEIVED), await bench.count(State.ACCEPTED)) == (1, 1)


async def test_a_receipt_for_a_state_between_two_bundles_is_compared_as_well(bench: Bench) -> None:
    first = await bench.grow(2)
    await bench.grow(3)
    await bench.send(start=1)

    await bench.keep(receipt(first))

    assert await bench.kinds() == []
    assert await bench.count(State.RECEIVED) == 1


@pytest.mark.parametrize("case", ["another log", "another root", "beyond the end", "inside a bundle"])
async def test_a_receipt_that_speaks_of_another_log_than_ours_moves_nothing(bench: Bench, case: str) -> None:
    head = await bench.grow(3)
    await bench.send(start=1)
    bad = {
        "another log": receipt(head, origin="us.gateway.test/exchange/fr"),
        "another root": receipt(head, root=bytes(32)),
        "beyond the end": receipt(head, count=4),
        "inside a bundle": receipt(head, count=2),
    }[case]

    effects = await bench.keep(bad)

    assert effects.sending_due is False
    assert await bench.count(State.SENT) == 1
    (incident,) = await bench.incidents()
    assert (incident.kind, incident.origin, incident.size) == (
        IncidentKind.RECEIPT_CONFLICT,
        bench.pair.peer_origin,
        10,
    )


async def test_a_collection_of_our_messages_counts_and_one_of_another_log_is_malformed(bench: Bench) -> None:
    head = await bench.grow(2)
    await bench.send(start=1)
    collections = (Collection(index=1, agency="US.CBP.NTC", at_ms=7),)

    other = await bench.keep(CollectedEntry(origin=bench.pair.peer_origin, collections=collections))
    assert other.messages_moved is False
    assert await bench.kinds() == [IncidentKind.MALFORMED_ENTRY]
    assert await bench.count(State.COLLECTED) == 0

    own = await bench.keep(CollectedEntry(origin=head.origin, collections=collections))
    assert own.messages_moved is True
    assert await bench.count(State.COLLECTED) == 1


# --- anchors, incidents, voids, strangers ----------------------------------------------------


async def test_an_anchor_of_our_log_has_to_be_a_state_that_it_went_through(bench: Bench) -> None:
    first = await bench.grow(2)
    head = await bench.grow(3)
    good = [
        AnchorEntry(origin=head.origin, size=first.size, root=first.edge.root()),
        AnchorEntry(origin=head.origin, size=head.size, root=head.edge.root()),
        AnchorEntry(origin=bench.pair.peer_audit_origin, size=99, root=bytes(32)),
    ]
    await bench.keep(*good)
    assert await bench.kinds() == []

    bad = [
        AnchorEntry(origin=head.origin, size=3, root=bytes(32)),
        AnchorEntry(origin=head.origin, size=head.size + 1, root=bytes(32)),
    ]
    await bench.keep(*bad)
    found = await bench.incidents()
    assert [(item.kind, item.size) for item in found[::-1]] == [
        (IncidentKind.FORK, 3),
        (IncidentKind.FORK, 6),
    ]
    # Only the peer says so: no two signed notes contradict each other.
    assert all(item.is_stated for item in found)


async def test_an_incident_of_the_peer_is_kept_and_a_recovery_asks_for_a_look(bench: Bench) -> None:
    fork = IncidentEntry(incident=IncidentKind.CLOCK, origin="x/y", size=4, root=b"\x01" * 32)

    assert (await bench.keep(fork)).peer_recovered is False
    recovery = replace(fork, incident=IncidentKind.RECOVERY)
    assert (await bench.keep(recovery)).peer_recovered is True

    found = (await bench.incidents())[::-1]
    assert [(item.kind, item.origin, item.size) for item in found] == [
        (IncidentKind.CLOCK, "x/y", 4),
        (IncidentKind.RECOVERY, "x/y", 4),
    ]


async def test_void_numbers_of_the_peer_are_remembered(bench: Bench) -> None:
    await bench.keep(VoidEntry(conversation_id=bytes(16), agency="US.CBP.NTC", numbers=(1, 3)))

    pair = (bytes(16), "US.CBP.NTC")
    last = await bench.store.read(lambda tx: tx.threads.last_numbers([pair]))
    missing = await bench.store.read(lambda tx: tx.threads.missing_numbers(bytes(16)))
    assert last == {pair: 3}
    assert missing == {"US.CBP.NTC": [2]}


@pytest.mark.parametrize(
    ("agency", "numbers"),
    [
        ("FR.DGDDI.SARC", (2,)),
        ("nobody", (2,)),
        ("US", (2,)),
        ("US.\x00", (2,)),
        ("US.cbp", (2,)),
        ("USA.CBP", (2,)),
        ("US.CBP.NTC", (0, 1)),
        ("US.CBP.NTC", (1, MAX_SEQ + 1)),
    ],
)
async def test_a_void_of_what_is_no_number_of_the_peers_agencies_is_malformed(
    bench: Bench, agency: str, numbers: tuple[int, ...]
) -> None:
    """Else a peer could say that a conversation has no number left for an agency of ours."""
    await bench.keep(VoidEntry(conversation_id=bytes(16), agency=agency, numbers=numbers))

    (incident,) = await bench.incidents()
    assert (incident.kind, incident.size) == (IncidentKind.MALFORMED_ENTRY, 10)
    assert await bench.store.read(lambda tx: tx.threads.last_numbers([(bytes(16), agency)])) == {}


async def test_an_event_in_an_exchange_log_is_malformed(bench: Bench) -> None:
    event = EventEntry(at_ms=1, role=0, actor=b"", event="x", objects=(), outcome="ok")

    await bench.keep(event)

    (incident,) = await bench.incidents()
    assert (incident.kind, incident.size) == (IncidentKind.MALFORMED_ENTRY, 10)


async def test_malformed_entries_are_incidents_with_their_places(bench: Bench) -> None:
    await bench.store.write(Step.MIRRORED, lambda tx: bench.reader.keep(tx, [], (3, 5), NOW_MS))

    found = (await bench.incidents())[::-1]
    assert [(item.kind, item.size, item.at_ms) for item in found] == [
        (IncidentKind.MALFORMED_ENTRY, 3, NOW_MS),
        (IncidentKind.MALFORMED_ENTRY, 5, NOW_MS),
    ]


async def test_incidents_of_a_minute_are_bounded_whatever_entries_the_peer_sends(bench: Bench) -> None:
    async def keep(at_ms: int) -> None:
        await bench.store.write(
            Step.MIRRORED, lambda tx: bench.reader.keep(tx, [], range(MAX_BUNDLE_ENTRIES), at_ms)
        )

    with capture_logs() as logs:
        for after_ms in (0, 1, TOLD_MS - 1):
            await keep(NOW_MS + after_ms)
    assert await bench.kinds() == [IncidentKind.MALFORMED_ENTRY] * MOST_TOLD
    assert [item["event"] for item in logs] == ["incident.recorded"] * MOST_TOLD + ["incident.flood"]

    await keep(NOW_MS + TOLD_MS)
    assert len(await bench.kinds()) == 2 * MOST_TOLD


# --- what the peer announces -----------------------------------------------------------------


def kem_key(keyring: WorldKeyring) -> KemKeyEntry:
    key_id, public_key = keyring.create_kem_key(1)
    return KemKeyEntry(key_id=key_id, suite=SUITE, public_key=public_key, not_before_ms=1, not_after_ms=2)


async def test_announcements_count_once_they_are_durable_and_the_newest_wins(
    bench: Bench, peer_keyring: WorldKeyring
) -> None:
    first, second = kem_key(peer_keyring), kem_key(peer_keyring)
    agreement = AgreementEntry(types=(("a/1", bytes(48)),), effective_ms=1)

    effects = await bench.keep(first, agreement, second)
    assert (bench.keys, bench.reader.announced) == ([], Announced())
    bench.reader.apply(effects)

    assert bench.keys == [second]
    assert bench.reader.announced.at(1) == {"a/1": bytes(48)}
    bench.reader.apply(Effects())
    assert bench.keys == [second]


async def test_a_later_process_reads_what_was_announced_last(
    bench: Bench, peer_keyring: WorldKeyring
) -> None:
    key = kem_key(peer_keyring)
    agreement = AgreementEntry(types=(("a/1", bytes(48)),), effective_ms=1)
    statement = KeyStatementEntry(statement=bench.keyring.peer_statement)
    entries: list[Entry] = [statement, key, agreement]

    def mirror(tx: Transaction) -> None:
        ensure_log(tx, bench.pair.peer_origin, LogKind.MIRROR)
        for index, entry in enumerate(entries):
            tx.logs.put_control(bench.pair.peer_origin, int(entry.kind), index, encode_entry(entry))

    await bench.store.write(Step.MIRRORED, mirror)
    await bench.reader.open(bench.store)

    assert bench.keys == [key]
    assert bench.reader.announced.at(1) == {"a/1": bytes(48)}


async def test_an_empty_mirror_announces_nothing(bench: Bench) -> None:
    await bench.reader.open(bench.store)

    assert (bench.keys, bench.reader.announced) == ([], Announced())


# --- statements ------------------------------------------------------------------------------


def test_the_first_entry_of_a_log_is_the_statement_that_was_imported(bench: Bench) -> None:
    good = KeyStatementEntry(statement=bench.keyring.peer_statement)
    anchor = AnchorEntry(origin="x/y", size=1, root=bytes(32))

    bench.reader.check_statements([(0, good)], end=1)
    bench.reader.check_statements([(5, anchor)], end=6)
    bench.reader.check_statements([(7, good)], end=8)
    with pytest.raises(PeerError, match="first entry"):
        bench.reader.check_statements([(0, anchor)], end=1)
    with pytest.raises(PeerError):
        bench.reader.check_statements([(0, KeyStatementEntry(statement=b"other"))], end=1)
    with pytest.raises(PeerError):
        bench.reader.check_statements([(0, KeyStatementEntry(statement=bench.keyring.statement))], end=1)


def test_a_statement_closes_its_bundle(bench: Bench) -> None:
    good = KeyStatementEntry(statement=bench.keyring.peer_statement)

    with pytest.raises(PeerError, match="last entry"):
        bench.reader.check_statements([(0, good)], end=2)


async def test_a_root_that_no_bundle_ends_at_is_computed(bench: Bench) -> None:
    await bench.grow(5)
    roots = OwnRoots(bench.pair)
    assert await bench.store.read(lambda tx: roots.at(tx, 0)) == Hash(
        bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    )
    assert await bench.store.read(lambda tx: roots.at(tx, 6)) is None
    assert stored_bundle(0, 1).end == 1


@pytest.mark.parametrize("count", [AT_ONCE, 200])
async def test_the_thread_that_writes_computes_few_roots_however_many_a_bundle_names(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """At sizes between two bundles each takes a millisecond, and whoever posts waits for that thread."""
    head = await bench.store.write(
        Step.SEQUENCED,
        lambda tx: append_bundle(tx, bench.pair.exchange_origin, ANCHORS[:1] * (count + 1), at_ms=1),
    )
    leaves = [hash_leaf(ANCHORS[0])] * head.size
    computed: list[str] = []

    def edge_at_somewhere(size: int, *, reader: HashReader) -> RightEdge:
        computed.append(threading.current_thread().name)
        return edge_at(size, reader=reader)

    monkeypatch.setattr("gateway.node.own_roots.edge_at", edge_at_somewhere)
    entries: list[Entry] = [
        AnchorEntry(origin=bench.pair.exchange_origin, size=size, root=root_of(leaves[:size]))
        for size in range(1, count)
    ]
    entries.append(AnchorEntry(origin=bench.pair.exchange_origin, size=count, root=bytes(32)))
    numbered = list(enumerate(entries, 10))
    roots = await bench.reader.roots_of(bench.store, numbered)
    await bench.store.write(
        Step.MIRRORED, lambda tx: bench.reader.keep(tx, numbered, (), NOW_MS, roots=roots)
    )

    assert len(computed) == count
    assert computed.count("store-writer") <= AT_ONCE
    # And nothing else is said of them than before.
    assert [(item.kind, item.size) for item in await bench.incidents()] == [(IncidentKind.FORK, count)]


async def test_a_statement_that_is_in_force_already_takes_no_memory(bench: Bench) -> None:
    statement = bench.keyring.peer_statement
    for index in (0, 5, 9):
        entry = KeyStatementEntry(statement=statement)
        assert bench.reader.is_restated(entry) is (index > 0)
        bench.reader.check_statements([(index, entry)], end=index + 1)
        bench.reader.apply(await bench.keep(entry, start=index))

    assert bench.reader._stated == [(0, statement)]


async def test_a_log_holds_so_many_statements_and_no_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = KeyStatementEntry(statement=bench.keyring.peer_statement)
    bench.reader.apply(Effects(statement=(0, b"another one")))
    monkeypatch.setattr("gateway.node.mirror.MAX_STATEMENTS", 1)

    with pytest.raises(PeerError, match="too many key statements"):
        bench.reader.check_statements([(5, entry)], end=6)
