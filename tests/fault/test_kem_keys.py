"""KEM keys: announced once, replaced daily, destroyed in time, whatever happens between."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.core.entries import IncidentKind, KemKeyEntry, encode_entry
from gateway.core.envelope import SUITE
from gateway.core.keybox import KemPrivateKey
from gateway.node.announcements import KEM_LIFETIME_MS, KEM_ROTATION_MS
from gateway.node.health import Phase
from gateway.ports import PeerView, Step
from tests.forger import Forger
from tests.world import World

DAY_S = 86_400
assert KEM_ROTATION_MS == DAY_S * 1_000
assert KEM_LIFETIME_MS == 7 * KEM_ROTATION_MS


async def announced(world: World, nation: str = "FR") -> list[bytes]:
    return [entry.key_id for entry in await world.log(nation) if isinstance(entry, KemKeyEntry)]


def held(world: World) -> Any:
    async def ask() -> set[bytes]:
        return set(world.sides["FR"].keyring.kem_keys())

    return ask


def ticking(world: World) -> Any:
    async def ask() -> list[bytes]:
        # Housekeeping looks once a second.
        world.clock.advance(1.1)
        await asyncio.sleep(0.02)
        return await announced(world)

    return ask


async def test_a_key_is_announced_once_and_not_again_at_a_restart(world: World) -> None:
    await world.settle()
    before = await announced(world)
    assert len(before) == 1

    await world.restart("FR")
    await world.until_phase("FR", Phase.RUNNING)
    world.clock.advance(DAY_S // 2)
    await world.settle()

    assert await announced(world) == before
    assert await held(world)() == set(before)


async def test_a_key_that_was_made_and_never_logged_is_announced_after_the_restart(world: World) -> None:
    await world.settle()
    (first,) = await announced(world)
    world.break_write("FR", Step.SEQUENCED, persisted=False)

    world.clock.advance(DAY_S + 1)
    await world.until_crashed("FR")
    (second,) = await held(world)() - {first}
    await world.restart("FR")

    await world.until(lambda: announced(world), lambda keys: keys == [first, second])
    world.clock.advance(10)
    await world.settle()
    assert await held(world)() == {first, second}, "no third key was made"
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")
    await world.until(held(world), lambda keys: keys == {second})


async def test_a_key_that_was_logged_in_the_moment_of_the_crash_is_not_announced_twice(world: World) -> None:
    await world.settle()
    world.break_write("FR", Step.SEQUENCED, persisted=True)
    world.clock.advance(DAY_S + 1)
    await world.until_crashed("FR")

    await world.restart("FR")
    await world.until_phase("FR", Phase.RUNNING)
    world.clock.advance(10)
    await world.settle()

    keys = await announced(world)
    assert len(keys) == 2
    assert set(keys) == await held(world)()
    await world.check()


async def test_while_the_peer_is_away_only_the_newest_key_waits_to_be_announced(world: World) -> None:
    await world.settle()
    await world.stop("US")
    await world.cut_off("FR")
    for _ in range(3):
        before = await held(world)()
        world.clock.advance(DAY_S + 1)
        await world.until(held(world), lambda keys, old=before: bool(keys - old))  # type: ignore[misc]

    world.reconnect("FR")
    await world.start("US")

    keys = await world.until(lambda: announced(world), lambda keys: len(keys) > 1)
    await world.settle()
    assert await announced(world) == keys
    assert len(keys) == 2
    newest = max(world.sides["FR"].keyring.kem_keys().items(), key=lambda item: item[1])[0]
    assert keys[-1] == newest


async def test_a_key_is_destroyed_after_seven_days_even_if_the_peer_sends_nothing(world: World) -> None:
    await world.settle()
    (first,) = await announced(world)
    for day in range(8):
        count = len(await announced(world))
        world.clock.advance(DAY_S + 1)
        await world.until(ticking(world), lambda keys, more=count: len(keys) > more)  # type: ignore[misc]
        assert (first in await held(world)()) == (day < 6)

    assert len(await held(world)()) <= 8
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")


async def test_an_announced_key_that_cannot_be_used_is_an_incident_and_changes_nothing(world: World) -> None:
    forger = await Forger.take_over(world)
    side = world.sides["FR"]
    before = world.node("FR")._sequencer.peer_key
    good = KemPrivateKey.from_seed(bytes(32)).public_key
    bad = [
        KemKeyEntry(key_id=key_id, suite=suite, public_key=public, not_before_ms=0, not_after_ms=1)
        for key_id, suite, public in (
            (good.key_id, SUITE, good.to_bytes()[:-1] + b"\x00"),  # not a point of the curve
            (bytes(8), SUITE, good.to_bytes()),
            (good.key_id, SUITE + 1, good.to_bytes()),
        )
    ]

    await forger.post(forger.bundle([forger.message()], extra=[encode_entry(entry) for entry in bad]))

    assert [item.kind for item in await world.incidents("FR")] == [IncidentKind.MALFORMED_ENTRY] * 3
    assert world.node("FR")._sequencer.peer_key == before
    # And the node starts again on what it mirrored.
    head = await side.store.read(lambda tx: tx.logs.head(side.keyring.pair.exchange_origin))  # type: ignore[union-attr]
    assert head is not None
    view = PeerView(mirrored=None, mirrored_size=head.size, own=None, own_size=0)
    side.faults.impostor = lambda _: view
    await world.restart("FR")
    await world.until_phase("FR", Phase.RUNNING)
    assert world.node("FR")._sequencer.peer_key == before
