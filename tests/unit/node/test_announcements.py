"""What a node says of itself in its log: once at the beginning, then only what has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.entries import (
    AgreementEntry,
    Entry,
    EventEntry,
    KemKeyEntry,
    KeyStatementEntry,
    decode_entry,
)
from gateway.core.envelope import SUITE
from gateway.core.message.registry import Catalogue
from gateway.core.message.schedule import Schedule
from gateway.node.announcements import KEM_LIFETIME_MS, KEM_ROTATION_MS, Announcements
from gateway.node.audit_log import AuditLog
from gateway.node.pair import Pair
from gateway.ports import Step
from gateway.storage.store import SqlStore
from tests.world import WorldClock, WorldKeyring

DAY_S = KEM_ROTATION_MS / 1_000


class Bench:
    def __init__(
        self, pair: Pair, store: SqlStore, catalogue: Catalogue, keyring: WorldKeyring, clock: WorldClock
    ) -> None:
        self.origin = pair.exchange_origin
        self.audit = AuditLog(pair)
        self.store, self.keyring, self.clock, self.catalogue = store, keyring, clock, catalogue
        self.announcements = self.again()

    def again(self, catalogue: Catalogue | None = None) -> Announcements:
        """Return the announcements of another process."""
        return Announcements(
            origin=self.origin,
            schedule=Schedule(catalogue=catalogue or self.catalogue),
            keyring=self.keyring,
            audit=self.audit,
            clock=self.clock,
        )

    async def open(self, announcements: Announcements | None = None) -> list[Entry]:
        await self.store.write(Step.SETUP, (announcements or self.announcements).open)
        return await self.log()

    async def log(self) -> list[Entry]:
        head = await self.store.read(lambda tx: tx.logs.head(self.origin))
        assert head is not None
        return [
            decode_entry(data)
            for data in await self.store.read(lambda tx: tx.logs.entries(self.origin, 0, head.size))
        ]


@pytest.fixture
async def bench(
    pair: Pair, store: SqlStore, catalogue: Catalogue, keyring: WorldKeyring, clock: WorldClock
) -> Bench:
    return Bench(pair, store, catalogue, keyring, clock)


async def test_the_log_begins_with_statement_key_and_agreement_in_two_bundles(bench: Bench) -> None:
    statement, key, agreement = await bench.open()

    assert statement == KeyStatementEntry(statement=bench.keyring.statement)
    assert isinstance(key, KemKeyEntry)
    assert (key.key_id, key.suite) == (next(iter(bench.keyring.kem_keys())), SUITE)
    assert key.not_after_ms - key.not_before_ms == KEM_LIFETIME_MS
    assert isinstance(agreement, AgreementEntry)
    assert dict(agreement.types) == {
        name: bench.catalogue.type(name).digest for name in bench.catalogue.types
    }
    bundles = await bench.store.read(lambda tx: tx.outbox.bundles_from(0, limit=9))
    assert [(bundle.start, bundle.end) for bundle in bundles] == [(0, 1), (1, 3)]


async def test_nothing_is_said_twice_by_later_processes(bench: Bench) -> None:
    first = await bench.open()

    assert await bench.open(bench.again()) == first
    assert await bench.open(bench.again()) == first


async def test_another_statement_and_another_catalogue_are_announced_each_alone(
    bench: Bench, project_root: Path
) -> None:
    first = await bench.open()
    bench.keyring.statement = bench.keyring.peer_statement
    with_statement = await bench.open(bench.again())
    assert with_statement[3:] == [KeyStatementEntry(statement=bench.keyring.statement)]

    folder = project_root / "schemas"
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "inspect.result" not in path.as_posix()
    }
    fewer = Catalogue.from_files(files)
    with_agreement = await bench.open(bench.again(fewer))

    (agreement,) = with_agreement[4:]
    assert isinstance(agreement, AgreementEntry)
    before = first[2]
    assert isinstance(before, AgreementEntry)
    assert set(dict(before.types)) - set(dict(agreement.types)) == {"inspect.result/1"}


async def test_a_key_is_due_after_a_day_and_not_before(bench: Bench) -> None:
    await bench.open()
    assert bench.announcements.next_kem_key() is None
    bench.clock.advance(DAY_S - 10)
    assert bench.announcements.next_kem_key() is None

    bench.clock.advance(11)
    data = bench.announcements.next_kem_key()

    assert data is not None
    entry = decode_entry(data)
    assert isinstance(entry, KemKeyEntry)
    assert entry.key_id in bench.keyring.kem_keys()
    # It is on its way: nothing more is due.
    assert bench.announcements.next_kem_key() is None


async def test_a_lost_private_key_makes_another_one_due_at_once(bench: Bench) -> None:
    await bench.open()
    bench.keyring.destroy_kem_key(next(iter(bench.keyring.kem_keys())))

    assert bench.announcements.next_kem_key() is not None
    assert len(bench.keyring.kem_keys()) == 1


async def test_a_key_that_another_process_made_and_never_logged_is_announced_as_it_is(bench: Bench) -> None:
    await bench.open()
    bench.clock.advance(DAY_S + 1)
    made = bench.announcements.next_kem_key()
    later = bench.again()
    await bench.open(later)

    assert later.next_kem_key() == made
    assert len(bench.keyring.kem_keys()) == 2


async def test_a_key_that_was_never_logged_and_is_old_by_now_is_not_announced(bench: Bench) -> None:
    await bench.open()
    bench.clock.advance(DAY_S + 1)
    old = bench.announcements.next_kem_key()
    bench.clock.advance(DAY_S + 1)
    later = bench.again()
    await bench.open(later)

    new = later.next_kem_key()
    assert new is not None
    assert new != old


async def test_keys_of_seven_days_go_but_never_the_one_that_was_announced_last(bench: Bench) -> None:
    await bench.open()
    (announced,) = bench.keyring.kem_keys()
    stray, _ = bench.keyring.create_kem_key(bench.clock.now_ms())
    bench.clock.advance(KEM_LIFETIME_MS / 1_000 + 1)

    await bench.announcements.destroy_old_keys(bench.store)
    bench.announcements.next_kem_key()

    held = bench.keyring.kem_keys()
    assert stray not in held
    head = await bench.store.read(lambda tx: tx.logs.head(bench.audit.origin))
    assert head is not None
    (entry,) = await bench.store.read(
        lambda tx: tx.logs.entries(bench.audit.origin, head.size - 1, head.size)
    )
    event = decode_entry(entry)
    assert isinstance(event, EventEntry)
    assert (event.event, event.details) == ("kem.destroyed", (stray,)), "on record before it was gone"
    assert announced in held, "nothing else was announced when its time was over"
    assert len(held) == 2
