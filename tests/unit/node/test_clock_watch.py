"""The clock alarm: set, behind the log, different from the peer's; and what is no alarm."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from gateway.core.entries import EventEntry, IncidentKind, decode_entry
from gateway.core.merkle import EMPTY_ROOT
from gateway.node.audit_log import AuditLog
from gateway.node.clock_watch import AGAIN_S, LIMIT_S, ClockWatch
from gateway.node.log_writer import ensure_log
from gateway.node.pair import Pair
from gateway.ports import LogKind, Step, StoredNote, Transaction
from gateway.storage.store import SqlStore
from tests.world import World, WorldClock, WorldLink


class StoppedClock(WorldClock):
    """A clock of a process that is stopped for a minute between two readings, as often as told."""

    def __init__(self) -> None:
        super().__init__()
        self.stops = 0

    def now_ms(self) -> int:
        now_ms = super().now_ms()
        if self.stops:
            self.stops -= 1
            self.advance(60)
        return now_ms


class Bench:
    def __init__(self, store: SqlStore, pair: Pair, clock: WorldClock, world: World) -> None:
        self.store, self.pair, self.clock, self.world = store, pair, clock, world
        self.audit = AuditLog(pair)
        self.watch = self.again()

    def again(self) -> ClockWatch:
        link = WorldLink(self.world, "FR")
        return ClockWatch(pair=self.pair, store=self.store, audit=self.audit, link=link, clock=self.clock)

    def peer_is_ahead(self, seconds: float | None) -> None:
        self.world.sides["FR"].faults.peer_ahead_s = seconds

    async def alarms(self) -> list[tuple[str, int]]:
        def load(tx: Transaction) -> list[bytes]:
            head = tx.logs.head(self.audit.origin)
            return [] if head is None else tx.logs.entries(self.audit.origin, 0, head.size)

        alarms: list[tuple[str, int]] = []
        for entry in map(decode_entry, await self.store.read(load)):
            if isinstance(entry, EventEntry) and entry.event == "clock.alarm":
                (milliseconds,) = entry.details
                assert isinstance(milliseconds, int)
                alarms.append((entry.outcome, milliseconds))
        return alarms


@pytest.fixture
async def bench(store: SqlStore, pair: Pair, world: World) -> Bench:
    bench = Bench(store, pair, StoppedClock(), world)
    await store.write(Step.SETUP, lambda tx: bench.audit.open(tx, b"statement"))
    return bench


@pytest.mark.parametrize(("seconds", "cause"), [(30, "set-back"), (-30, "set-ahead")])
async def test_a_clock_that_is_set_is_an_event_an_incident_an_alarm_and_a_trouble(
    bench: Bench, seconds: int, cause: str
) -> None:
    await bench.watch.look()
    assert await bench.alarms() == []
    bench.clock.set_back(seconds)
    with capture_logs() as said:
        await bench.watch.look()

    ((found, milliseconds),) = await bench.alarms()
    assert found == cause
    assert 29_000 < milliseconds < 31_000
    assert bench.watch.is_wrong
    # The world that lends its files has nodes that say things of their own.
    assert [item["cause"] for item in said if item["event"] == "clock.alarm"] == [cause]
    (incident,) = await bench.store.read(lambda tx: tx.facts.incidents(limit=10))
    assert (incident.kind, incident.origin) == (IncidentKind.CLOCK, bench.audit.origin)

    await bench.watch.look()
    assert len(await bench.alarms()) == 1, "from here on this is the time"
    bench.clock.advance(AGAIN_S + 1)
    assert not bench.watch.is_wrong


async def test_time_that_passes_and_a_clock_that_is_slewed_are_no_alarm(bench: Bench) -> None:
    for _ in range(10):
        await bench.watch.look()
        bench.clock.advance(3_600)
        bench.clock.set_back(LIMIT_S / 2)
    assert await bench.alarms() == []


async def test_a_process_that_stood_still_between_two_readings_is_no_alarm(bench: Bench) -> None:
    assert isinstance(bench.clock, StoppedClock)
    for stops in (1, 3, 100):
        await bench.watch.look()
        bench.clock.stops = stops
        await bench.watch.look()
        bench.clock.stops = 0
    await bench.watch.look()
    assert await bench.alarms() == []


async def test_a_clock_that_is_set_again_and_again_cannot_fill_the_log(bench: Bench) -> None:
    for _ in range(50):
        await bench.watch.look()
        bench.clock.set_back(10)
    assert len(await bench.alarms()) == 1
    bench.clock.advance(AGAIN_S + 1)
    bench.clock.set_back(10)
    await bench.watch.look()
    assert len(await bench.alarms()) == 2


async def test_a_clock_behind_what_is_signed_is_found_at_the_start(bench: Bench) -> None:
    origin = bench.pair.exchange_origin
    later_ms = bench.clock.now_ms() + 90_000
    note = StoredNote(origin=origin, size=0, root=EMPTY_ROOT, at_ms=later_ms, note=b"note")

    def sign(tx: Transaction) -> None:
        ensure_log(tx, origin, LogKind.EXCHANGE)
        tx.logs.put_note(note)

    await bench.store.write(Step.SIGNED, sign)
    await bench.watch.open()
    ((cause, milliseconds),) = await bench.alarms()
    assert cause == "behind-log"
    assert 80_000 < milliseconds <= 90_000
    assert bench.watch.is_wrong


async def test_a_start_at_a_right_time_is_no_alarm(bench: Bench) -> None:
    await bench.watch.open()
    assert await bench.alarms() == []


@pytest.mark.parametrize(("ahead_s", "cause"), [(7.5, "peer-ahead"), (-7.5, "peer-behind")])
async def test_a_clock_that_differs_from_the_peers_is_an_alarm_until_they_agree(
    bench: Bench, ahead_s: float, cause: str
) -> None:
    bench.peer_is_ahead(ahead_s)
    for _ in range(5):
        await bench.watch.look()
    assert await bench.alarms() == [(cause, 7_500)]
    assert bench.watch.is_wrong
    assert bench.watch.peer_ahead_s == ahead_s
    (incident,) = await bench.store.read(lambda tx: tx.facts.incidents(limit=10))
    assert (incident.kind, incident.origin) == (IncidentKind.CLOCK, bench.pair.peer_origin)

    bench.peer_is_ahead(1.5)
    await bench.watch.look()
    assert bench.watch.is_wrong, "not good enough to end an alarm"
    bench.peer_is_ahead(0.0)
    await bench.watch.look()
    assert not bench.watch.is_wrong


@pytest.mark.parametrize("ahead_s", [None, 0.0, LIMIT_S, -LIMIT_S])
async def test_a_peer_that_tells_no_other_time_is_no_alarm(bench: Bench, ahead_s: float | None) -> None:
    bench.peer_is_ahead(ahead_s)
    await bench.watch.look()
    assert await bench.alarms() == []
    assert not bench.watch.is_wrong
