"""Quotas: what an agency may send, changed while the node runs."""

from __future__ import annotations

import pytest

from gateway.core.entries import EventEntry, Role, decode_entry
from gateway.node.audit_log import Actor, AuditLog
from gateway.node.inbox import NotFoundError
from gateway.node.pair import Pair
from gateway.node.quotas import Quota, QuotaError, Quotas
from gateway.ports import Step, Transaction
from gateway.storage.store import SqlStore
from tests.contract.builders import LYON, NICE, outgoing
from tests.world import WorldClock

OPERATOR = Actor(role=Role.OPERATOR, spki=b"o" * 32)


@pytest.fixture
def audit(pair: Pair) -> AuditLog:
    return AuditLog(pair)


@pytest.fixture
async def quotas(store: SqlStore, audit: AuditLog, clock: WorldClock) -> Quotas:
    await store.write(Step.SETUP, lambda tx: audit.open(tx, b"statement"))
    return Quotas(store=store, audit=audit, clock=clock, default=Quota())


async def events(store: SqlStore, audit: AuditLog) -> list[EventEntry]:
    def load(tx: Transaction) -> list[bytes]:
        head = tx.logs.head(audit.origin)
        return [] if head is None else tx.logs.entries(audit.origin, 0, head.size)

    found = [decode_entry(entry) for entry in await store.read(load)]
    return [entry for entry in found if isinstance(entry, EventEntry)]


def test_without_a_quota_everything_passes(quotas: Quotas) -> None:
    assert quotas.take(LYON, 1_000_000) == (1_000_000, None)


async def test_an_agency_may_send_a_minutes_worth_at_once_and_then_as_time_passes(
    quotas: Quotas, clock: WorldClock
) -> None:
    quotas.default = Quota(per_minute=60)
    granted, refusal = quotas.take(LYON, 100)
    assert granted == 60
    assert isinstance(refusal, QuotaError)
    assert refusal.code == "quota"
    assert refusal.retry_after_s == 1
    # Another agency has its own minute.
    assert quotas.take(NICE, 60) == (60, None)

    clock.advance(30)
    granted, refusal = quotas.take(LYON, 31)
    assert 30 <= granted <= 31
    clock.advance(3_600)
    assert quotas.take(LYON, 61)[0] == 60


async def test_a_slow_quota_says_how_long_to_wait(quotas: Quotas) -> None:
    quotas.default = Quota(per_minute=1)
    assert quotas.take(LYON, 1) == (1, None)
    granted, refusal = quotas.take(LYON, 1)
    assert granted == 0
    assert refusal is not None
    assert 30 <= refusal.retry_after_s <= 60


async def test_no_more_messages_wait_than_the_quota_says(
    quotas: Quotas, store: SqlStore, clock: WorldClock
) -> None:
    quotas.default = Quota(waiting=5)
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([outgoing(rank=n) for n in range(3)]))
    await quotas.look()
    assert (quotas.waiting_of(LYON), quotas.waiting_of(NICE)) == (3, 0)

    granted, refusal = quotas.take(LYON, 4)
    assert granted == 2
    assert refusal is not None
    assert quotas.take(LYON, 1)[0] == 0
    assert quotas.take(NICE, 5) == (5, None)

    # What was let in and never came is counted until the next look only.
    clock.advance(3_600)
    await quotas.look()
    assert quotas.waiting_of(LYON) == 3
    assert quotas.take(LYON, 2) == (2, None)


async def test_what_waits_is_not_counted_where_no_quota_asks_for_it(quotas: Quotas, store: SqlStore) -> None:
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([outgoing()]))
    await quotas.look()
    assert quotas.waiting_of(LYON) == 0


async def test_an_operators_quota_counts_at_once_outlives_a_restart_and_is_on_record(
    quotas: Quotas, store: SqlStore, audit: AuditLog, clock: WorldClock
) -> None:
    quotas.default = Quota(per_minute=1_000)
    await quotas.set(OPERATOR, LYON, Quota(per_minute=2, waiting=7), "Loop in their system")
    assert quotas.take(LYON, 5)[0] == 2
    assert quotas.take(NICE, 5)[0] == 5

    again = Quotas(store=store, audit=audit, clock=clock, default=Quota(per_minute=1_000))
    await again.open()
    assert again.quota_of(LYON) == Quota(per_minute=2, waiting=7)
    assert again.own[LYON].reason == "Loop in their system"

    await again.clear(OPERATOR, LYON, "Mended")
    assert again.quota_of(LYON) == Quota(per_minute=1_000)
    assert again.own == {}
    found = await events(store, audit)
    assert [(event.event, event.role, event.details[1:]) for event in found] == [
        ("quota.set", Role.OPERATOR, (LYON.encode(), 2, 7)),
        ("quota.cleared", Role.OPERATOR, (LYON.encode(),)),
    ]
    assert b"Loop" not in b"".join(await store.read(lambda tx: tx.logs.entries(audit.origin, 0, 3)))


async def test_a_quota_can_lift_the_limit_of_the_configuration_for_one_agency(quotas: Quotas) -> None:
    quotas.default = Quota(per_minute=1, waiting=1)
    await quotas.set(OPERATOR, LYON, Quota(), "Move of their archive")
    assert quotas.take(LYON, 10_000) == (10_000, None)
    assert quotas.take(NICE, 2)[0] == 1


async def test_an_agency_without_a_quota_of_its_own_has_none_to_take_back(quotas: Quotas) -> None:
    with pytest.raises(NotFoundError):
        await quotas.clear(OPERATOR, LYON, "Mistake")
