"""Keys, catalogue, configuration and clock on record, in the transaction that changes them."""

from __future__ import annotations

import pytest

from gateway.core.digest import digest_of
from gateway.core.entries import AgreementEntry, EventEntry, KemKeyEntry, encode_entry
from gateway.node.announcements import KEM_LIFETIME_MS
from gateway.node.health import Phase
from gateway.ports import Step
from tests.fault.test_audit_log import named
from tests.world import World

DAY_S = 86_400


async def kem_keys(world: World) -> list[bytes]:
    return [entry.key_id for entry in await world.log("FR") if isinstance(entry, KemKeyEntry)]


async def test_a_kem_key_is_on_record_when_it_is_announced_and_when_it_is_destroyed(world: World) -> None:
    await world.settle()
    (first,) = await kem_keys(world)
    assert [item.details for item in await named(world, "FR", "kem.announced")] == [(first,)]

    world.clock.advance(DAY_S + 1)
    first_two = await world.until(lambda: kem_keys(world), lambda keys: len(keys) == 2)
    second = first_two[1]
    assert [item.details for item in await named(world, "FR", "kem.announced")] == [(first,), (second,)]
    assert await named(world, "FR", "kem.destroyed") == []

    await world.settle()
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")
    (event,) = await named(world, "FR", "kem.destroyed")
    assert event.details == (first,)
    assert set(world.sides["FR"].keyring.kem_keys()) == {second}


@pytest.mark.parametrize("persisted", [False, True])
async def test_no_kem_key_goes_before_its_end_is_on_record(world: World, *, persisted: bool) -> None:
    await world.settle()
    world.clock.advance(DAY_S + 1)
    first, second = await world.until(lambda: kem_keys(world), lambda keys: len(keys) == 2)
    await world.settle()
    world.break_write("FR", Step.MIRRORED, persisted=persisted)
    message_id = await world.send("US")
    await world.until_crashed("FR")

    assert set(world.sides["FR"].keyring.kem_keys()) == {first, second}
    await world.restart("FR")
    await world.until_state("US", message_id, "received")
    later = await world.send("US")
    await world.until_state("US", later, "received")
    events = await named(world, "FR", "kem.destroyed")
    assert {item.details for item in events} == {(first,)}
    # Recorded with the bundle, destroyed behind it: what the crash left went with the next one.
    assert len(events) == (2 if persisted else 1)
    assert set(world.sides["FR"].keyring.kem_keys()) == {second}


@pytest.mark.parametrize("persisted", [False, True])
async def test_no_kem_key_that_has_lived_too_long_goes_before_its_end_is_on_record(
    world: World, *, persisted: bool
) -> None:
    await world.settle()
    (first,) = await kem_keys(world)
    world.break_write("FR", Step.AUDITED, persisted=persisted)
    # The peer sends nothing meanwhile, so no bundle under a newer key ends this one.
    world.clock.advance(KEM_LIFETIME_MS // 1_000 + 1)
    await world.until_crashed("FR")

    assert first in world.sides["FR"].keyring.kem_keys()
    await world.restart("FR")
    await world.until(lambda: named(world, "FR", "kem.destroyed"), lambda found: len(found) > persisted)
    events = await named(world, "FR", "kem.destroyed")
    assert {item.details for item in events} == {(first,)}
    assert first not in world.sides["FR"].keyring.kem_keys()


async def test_a_catalogue_is_on_record_with_the_entry_that_states_it(world: World) -> None:
    await world.settle()
    stated = [entry for entry in await world.log("FR") if isinstance(entry, AgreementEntry)]
    events = await named(world, "FR", "agreement.stated")
    assert [item.details for item in events] == [
        (digest_of(encode_entry(entry)), entry.effective_ms) for entry in stated
    ]
    await world.restart("FR")
    await world.until_phase("FR", Phase.RUNNING)
    assert len(await named(world, "FR", "agreement.stated")) == len(stated), "the same one is not stated anew"


async def test_a_configuration_is_on_record_at_the_first_start_and_whenever_it_is_another(
    world: World,
) -> None:
    async def start_with(fingerprint: bytes) -> list[EventEntry]:
        world.sides["FR"].fingerprint = fingerprint
        await world.restart("FR")
        await world.until_phase("FR", Phase.RUNNING)
        return await named(world, "FR", "config.changed")

    one, other = b"\x01" * 48, b"\x02" * 48
    found = await start_with(one)
    assert [item.details for item in found] == [(one,)]
    assert len(await start_with(one)) == 1
    found = await start_with(other)
    assert [item.details for item in found] == [(one,), (other,)]
    assert [item.details for item in await start_with(one)] == [(one,), (other,), (one,)]


async def test_a_node_whose_configuration_cannot_be_recorded_does_not_run(world: World) -> None:
    await world.settle()
    await world.stop("FR")
    world.sides["FR"].fingerprint = b"\x03" * 48
    # The first event of a start is the start itself, the second the configuration.
    world.break_write("FR", Step.AUDITED, persisted=False, skip=1)
    await world.start("FR")
    await world.until_crashed("FR")
    assert await named(world, "FR", "config.changed") == []


async def test_a_clock_that_was_set_back_while_the_node_was_stopped_is_on_record(world: World) -> None:
    await world.send("US")
    await world.settle()
    await world.stop("US")
    world.clock.set_back(3_600)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)

    (event,) = await named(world, "US", "clock.alarm")
    assert event.outcome == "behind-log"
    health = await world.node("US").health()
    assert health.troubles == ("clock-wrong",)
    assert health.ready


async def test_clocks_of_two_nodes_that_differ_are_on_record_at_the_one_that_sees_it(world: World) -> None:
    await world.settle()
    world.sides["US"].faults.peer_ahead_s = -42.0

    async def alarms() -> list[EventEntry]:
        world.clock.advance(1.1)
        return await named(world, "US", "clock.alarm")

    (event,) = await world.until(alarms, lambda found: len(found) > 0)
    assert (event.outcome, event.details) == ("peer-behind", (42_000,))
    assert (await world.node("US").health()).peer_ahead_s == -42.0
    assert await named(world, "FR", "clock.alarm") == []
