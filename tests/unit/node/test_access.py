"""The book of the ports: who was let in, who was turned away, and how little a flood can write."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from gateway.core.entries import EventEntry, Role, decode_entry
from gateway.errors import GatewayError, SignatureInvalidError
from gateway.node.access import (
    CAUSES,
    MAX_NAMED,
    OTHER,
    SILENCE_S,
    WINDOW_S,
    AccessBook,
    Door,
    Doorkeeping,
    cause_of,
)
from gateway.node.audit_log import AuditLog
from gateway.node.inbox import NotFoundError
from gateway.node.pair import Pair
from gateway.node.refusal import NotAllowedError
from gateway.ports import Step, Transaction
from gateway.storage.store import SqlStore
from gateway.web.identity import RoleNotAllowedError, UnknownCertificateError
from gateway.web.refusals import NoSuchPathError, TooManyRequestsError
from tests.world import WorldClock
from tests.world_parts import CrashError, Faults, FaultyStore

SPKI = b"s" * 32


class Bench:
    def __init__(self, store: SqlStore, audit: AuditLog, clock: WorldClock) -> None:
        self.store, self.audit, self.clock = store, audit, clock
        self.faults = Faults()
        self.book = AccessBook(store=FaultyStore(store, self.faults), audit=audit, clock=clock)
        self.agencies = Doorkeeping(self.book, Door.AGENCY, lambda _: Role.AGENCY)

    async def events(self) -> list[EventEntry]:
        def load(tx: Transaction) -> list[bytes]:
            head = tx.logs.head(self.audit.origin)
            return [] if head is None else tx.logs.entries(self.audit.origin, 0, head.size)

        found = [decode_entry(entry) for entry in await self.store.read(load)]
        return [entry for entry in found if isinstance(entry, EventEntry)]


@pytest.fixture
async def bench(store: SqlStore, pair: Pair, clock: WorldClock) -> Bench:
    audit = AuditLog(pair)
    await store.write(Step.SETUP, lambda tx: audit.open(tx, b"statement"))
    bench = Bench(store, audit, clock)
    bench.book._is_open = True
    return bench


async def test_a_login_is_on_record_before_anything_is_answered_and_once(bench: Bench) -> None:
    await bench.agencies.let_in("caller", SPKI)
    (event,) = await bench.events()
    assert (event.event, event.role, event.actor, event.outcome) == (
        "access.granted",
        Role.AGENCY,
        SPKI,
        "ok",
    )
    assert event.details == (Door.AGENCY,)

    for _ in range(100):
        await bench.agencies.let_in("caller", SPKI)
    assert len(await bench.events()) == 1


async def test_no_request_of_a_certificate_is_answered_before_its_login_is_durable(bench: Bench) -> None:
    let_go = threading.Event()
    # Whatever is written meanwhile waits behind this in the store's one thread.
    busy = asyncio.ensure_future(bench.store.write(Step.SETUP, lambda _: let_go.wait(30)))
    await asyncio.sleep(0)
    requests = [asyncio.ensure_future(bench.agencies.let_in("caller", SPKI)) for _ in range(3)]
    await asyncio.sleep(0)
    requests[1].cancel()
    await asyncio.sleep(0.05)
    assert not requests[0].done()
    assert not requests[2].done()

    let_go.set()
    assert await busy
    await asyncio.gather(requests[0], requests[2])
    assert len(await bench.events()) == 1


async def test_a_certificate_whose_login_cannot_be_written_is_not_let_in(bench: Bench) -> None:
    bench.faults.crash_step = Step.AUDITED
    for _ in range(3):
        with pytest.raises(CrashError):
            await bench.agencies.let_in("caller", SPKI)
    bench.faults.crashed.clear()
    await bench.agencies.let_in("caller", SPKI)
    assert len(await bench.events()) == 1


async def test_a_certificate_that_was_silent_for_an_hour_logs_in_anew(bench: Bench) -> None:
    await bench.agencies.let_in("caller", SPKI)
    for _ in range(5):
        bench.clock.advance(SILENCE_S / 2)
        await bench.book.round()
        await bench.agencies.let_in("caller", SPKI)
    assert len(await bench.events()) == 1

    bench.clock.advance(SILENCE_S + 1)
    await bench.book.round()
    await bench.agencies.let_in("caller", SPKI)
    assert len(await bench.events()) == 2


async def test_one_certificate_at_two_ports_logs_in_at_each(bench: Bench) -> None:
    await bench.agencies.let_in("caller", SPKI)
    await Doorkeeping(bench.book, Door.OPERATOR, lambda _: Role.AUDITOR).let_in("caller", SPKI)

    assert [(item.role, item.details) for item in await bench.events()] == [
        (Role.AGENCY, (1,)),
        (Role.AUDITOR, (2,)),
    ]


async def test_what_comes_before_the_log_is_open_is_written_once_it_is(bench: Bench) -> None:
    bench.book._is_open = False
    await bench.agencies.let_in("caller", SPKI)
    bench.agencies.shut("certificate-absent")
    assert await bench.events() == []

    await bench.book.round()
    assert [item.event for item in await bench.events()] == ["access.granted", "access.denied"]


async def test_the_first_refusal_is_written_at_once_with_whose_it_was(bench: Bench) -> None:
    bench.agencies.turn_away(UnknownCertificateError("not listed"), None, SPKI)
    await bench.book.round()

    (event,) = await bench.events()
    assert (event.event, event.outcome, event.role, event.actor) == (
        "access.denied",
        "certificate-unknown",
        Role.UNKNOWN,
        SPKI,
    )
    assert event.details == (Door.AGENCY, 1, 0)


async def test_a_flood_writes_one_event_a_minute_for_each_cause_whoever_sends_it(bench: Bench) -> None:
    for minute in range(3):
        for number in range(500):
            stranger = (minute * 500 + number).to_bytes(32, "big")
            bench.agencies.turn_away(UnknownCertificateError("not listed"), None, stranger)
            bench.agencies.shut("tls-refused")
            if number % 100 == 0:
                await bench.book.round()
        bench.clock.advance(WINDOW_S + 1)
        await bench.book.round()

    events = await bench.events()
    unknown = [item for item in events if item.outcome == "certificate-unknown"]
    assert len(unknown) == 4, "the first one, and one a minute"
    assert sum(_count(item) for item in unknown) == 1_500
    assert sum(_count(item) for item in events if item.outcome == "tls-refused") == 1_500
    assert len(events) == 8
    for item in unknown[1:]:
        assert item.actor == b"", "more than one certificate"
        assert len(item.details) == 3 + MAX_NAMED


def _count(event: EventEntry) -> int:
    count = event.details[1]
    assert isinstance(count, int)
    return count


async def test_nothing_that_a_stranger_chooses_makes_another_cause(bench: Bench) -> None:
    for number in range(1_000):
        bench.agencies.shut(f"made-up-{number}")
    bench.clock.advance(WINDOW_S + 1)
    await bench.book.round()

    (event,) = await bench.events()
    assert (event.outcome, _count(event)) == (OTHER, 1_000)


async def test_after_a_quiet_minute_the_next_refusal_is_written_at_once_again(bench: Bench) -> None:
    for _ in range(2):
        bench.agencies.shut("certificate-absent")
        await bench.book.round()
        bench.clock.advance(WINDOW_S + 1)
        await bench.book.round()
    assert [_count(item) for item in await bench.events()] == [1, 1]


async def test_an_orderly_end_writes_what_is_still_being_counted(bench: Bench) -> None:
    for _ in range(3):
        bench.agencies.shut("certificate-absent")
        await bench.book.round()
    assert [_count(item) for item in await bench.events()] == [1]

    await bench.book.round(closing=True)
    assert [_count(item) for item in await bench.events()] == [1, 2]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (UnknownCertificateError("x"), "certificate-unknown"),
        (RoleNotAllowedError("x"), "role-not-allowed"),
        (TooManyRequestsError("x", retry_after_s=1), "too-many-requests"),
        (SignatureInvalidError("x"), "signature-invalid"),
        (NotFoundError("x"), "not-found"),
        (NoSuchPathError("x"), None),
        (NotAllowedError("x"), None),
    ],
)
def test_what_denies_access_is_told_from_mistakes_and_from_refused_messages(
    error: GatewayError, cause: str | None
) -> None:
    assert cause_of(error) == cause
    assert cause is None or cause in CAUSES


async def test_who_is_known_and_refused_is_named_with_the_role(bench: Bench) -> None:
    callers: Sequence[object] = ("first", "second")
    for caller in callers:
        bench.agencies.turn_away(TooManyRequestsError("x", retry_after_s=1), caller, SPKI)
    await bench.book.round()

    (event,) = await bench.events()
    assert (event.role, event.actor, _count(event)) == (Role.AGENCY, SPKI, 2)
