"""A node that takes nothing new on: a disk that fills up, maintenance, quotas, in two whole nodes."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from gateway.core.entries import Role
from gateway.core.signature import HybridSigner
from gateway.errors import OperatorError, UnavailableError
from gateway.node.audit_log import Actor
from gateway.node.maintenance import MaintenanceError, NotInMaintenanceError
from gateway.node.posts import Submission
from gateway.node.quotas import Quota, QuotaError
from gateway.node.room import DiskLowError
from gateway.node.second_stage import Acceptance
from gateway.ports import Step
from tests.world import World
from tests.world_parts import CrashError

OPERATOR = Actor(role=Role.OPERATOR, spki=b"o" * 32)


async def until_reasons(world: World, nation: str, *codes: str) -> None:
    """Wait until readiness names exactly this as what keeps a node from working."""

    async def ask() -> tuple[str, ...]:
        world.clock.advance(1)
        return (await world.node(nation).health()).obstacles

    await world.until(ask, lambda found: found == codes)


def fill(world: World, nation: str, *, part: float) -> None:
    """Leave this part of the disk free."""
    disk = world.sides[nation].disk
    disk.free_bytes = int(disk.total_bytes * part)


async def test_a_disk_that_fills_up_closes_the_door_before_it_is_full_and_room_opens_it(world: World) -> None:
    sent = await world.send("FR")
    await world.until_state("FR", sent, "received")

    fill(world, "FR", part=0.12)
    await until_reasons(world, "FR", "disk-low")
    with pytest.raises(DiskLowError):
        await world.send("FR")
    assert (await world.node("FR").health()).turned_away == {"disk-low": 1}
    # The peer's messages still come in, and what was accepted goes its way.
    await world.until_state("US", await world.send("US"), "received")

    fill(world, "FR", part=0.5)
    await until_reasons(world, "FR")
    await world.until_state("FR", await world.send("FR"), "received")


async def test_the_peers_messages_wait_at_home_while_there_is_no_room_for_them(world: World) -> None:
    await world.until_state("US", await world.send("US"), "received")
    fill(world, "FR", part=0.01)
    await until_reasons(world, "FR", "disk-low")

    waiting = await world.send("US")

    async def is_reachable() -> bool:
        return (await world.node("US").health()).reachable

    await world.until(is_reachable, lambda reachable: not reachable)
    assert await world.state("US", waiting) in {"accepted", "sent"}
    assert (await world.node("US").health()).troubles == ("peer-away",)

    fill(world, "FR", part=0.5)
    await until_reasons(world, "FR")
    await world.until_state("US", waiting, "received")


async def test_maintenance_refuses_what_is_new_sends_what_waits_and_says_when_it_is_drained(
    world: World,
) -> None:
    await world.settle()
    await world.cut_off("FR")
    waiting = await world.send("FR")
    draining = await world.node("FR").maintenance.start(OPERATOR, "New disks")
    assert not draining.is_drained
    assert draining.waiting + draining.on_the_way == 1

    with pytest.raises(MaintenanceError) as refused:
        await world.send("FR")
    assert refused.value.retry_after_s == 60
    assert (await world.node("FR").health()).obstacles == ("maintenance",)

    world.reconnect("FR")
    await world.until_state("FR", waiting, "received")
    assert (await world.node("FR").health()).draining.is_drained
    # The peer goes on sending, and is answered.
    await world.until_state("US", await world.send("US"), "received")


async def test_maintenance_outlives_a_restart_and_is_on_record(world: World) -> None:
    maintenance = world.node("FR").maintenance
    await maintenance.start(OPERATOR, "New disks")
    await maintenance.start(OPERATOR, "Said twice")

    await world.restart("FR")
    with pytest.raises(MaintenanceError):
        await world.send("FR")
    since = world.node("FR").maintenance.since
    assert since is not None
    assert since.reason == "New disks"

    await world.node("FR").maintenance.end(OPERATOR, "Done")
    await world.send("FR")
    with pytest.raises(NotInMaintenanceError):
        await world.node("FR").maintenance.end(OPERATOR, "Done")

    events = [event for event in await world.events("FR") if event.event.startswith("maintenance.")]
    assert [(event.event, event.role, event.actor) for event in events] == [
        ("maintenance.started", Role.OPERATOR, OPERATOR.spki),
        ("maintenance.ended", Role.OPERATOR, OPERATOR.spki),
    ]
    assert all(len(event.details) == 1 for event in events)


async def test_maintenance_that_cannot_be_put_on_record_does_not_begin(world: World) -> None:
    maintenance = world.node("FR").maintenance
    world.break_write("FR", Step.AUDITED, persisted=False)
    with pytest.raises(CrashError):
        await maintenance.start(OPERATOR, "New disks")
    assert maintenance.since is None

    await world.restart("FR")
    await world.send("FR")


async def test_of_a_batch_only_what_is_beyond_the_quota_is_refused(world: World) -> None:
    await world.node("FR").quotas.set(OPERATOR, "FR.DGDDI.SARC", Quota(per_minute=3), "Loop")
    bodies = [Submission(body=orjson.dumps(world.draft("FR"))) for _ in range(5)]
    outcomes = await world.node("FR").admission.submit(world.principal("FR"), bodies)
    assert [isinstance(outcome, Acceptance) for outcome in outcomes] == [True] * 3 + [False] * 2
    assert all(isinstance(outcome, QuotaError) for outcome in outcomes[3:])
    assert (await world.node("FR").health()).turned_away == {"quota": 2}

    with pytest.raises(QuotaError):
        await world.send("FR")
    # Others are not concerned, and asking costs nothing.
    await world.post("FR", world.draft("FR"), agency="FR.DGDDI.DNRED")
    body = orjson.dumps(world.draft("FR"))
    await world.node("FR").admission.check(world.principal("FR"), body, strict=False)


async def test_a_refusal_at_the_door_leaves_nothing_in_the_audit_log(world: World) -> None:
    await world.settle()
    before = len(await world.events("FR"))
    fill(world, "FR", part=0.0)
    await until_reasons(world, "FR", "disk-low")
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await world.send("FR")
    assert [event.event for event in (await world.events("FR"))[before:] if "message" in event.event] == []


async def test_an_agency_whose_messages_pile_up_is_stopped_and_goes_on_when_they_are_away(
    world: World,
) -> None:
    await world.settle()
    await world.cut_off("FR")
    await world.node("FR").quotas.set(OPERATOR, "FR.DGDDI.SARC", Quota(waiting=2), "Small line")
    ids = [await world.send("FR"), await world.send("FR")]
    with pytest.raises(QuotaError):
        await world.send("FR")

    world.reconnect("FR")
    for message_id in ids:
        await world.until_state("FR", message_id, "received")

    async def post() -> bool:
        world.clock.advance(1)
        try:
            await world.send("FR")
        except QuotaError:
            return False
        return True

    await world.until(post, bool)


async def test_a_node_that_cannot_sign_says_so_until_it_can(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.settle()
    keyring = world.sides["FR"].keyring

    def pulled(_origin: str, _statement: bytes) -> HybridSigner:
        msg = "the token is gone"
        raise OperatorError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(keyring, "log_signer", pulled)
        # Something new to sign.
        await world.node("FR").own_events.record("backup.made")
        await until_reasons(world, "FR", "cannot-sign")
        assert not (await world.node("FR").health()).ready
    await until_reasons(world, "FR")


async def test_a_node_whose_store_failed_at_a_write_of_somebody_else_stops_by_itself(world: World) -> None:
    """It has nothing to write, and would go on for as long, answering 503 to whoever wants to."""
    await world.settle()
    node = world.sides["FR"].task
    assert node is not None
    for _ in range(20):
        # Until it has signed its audit log and written all that it has to say.
        world.clock.advance(1)
        await asyncio.sleep(0.05)
    world.break_write("FR", Step.AUDITED, persisted=False)
    with pytest.raises(CrashError):
        await world.node("FR").maintenance.start(OPERATOR, "New disks")
    for _ in range(3):
        world.clock.advance(1)
        await asyncio.wait([node], timeout=0.5)
    assert isinstance(node.exception(), CrashError)
    await world.restart("FR")
