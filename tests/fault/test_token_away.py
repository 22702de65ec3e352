"""A token with half of the signing keys is away, comes back, or never does: nothing is lost."""

from __future__ import annotations

from functools import partial

import pytest

from gateway.core.cosignature import verify_log_note
from gateway.node.health import Phase
from gateway.node.queue import Condition
from gateway.node.signing_keys import statements_in
from gateway.ports import SentBundle, Step
from tests.world import World, _signer

FR_LOG = "fr.gateway.test/exchange/us"


async def until_not_ready(world: World, nation: str) -> None:
    async def reasons() -> tuple[str, ...]:
        return (await world.node(nation).health()).obstacles

    await world.until(reasons, lambda found: found == ("cannot-sign",))


async def until_ready(world: World, nation: str) -> None:
    async def ready() -> bool:
        return (await world.node(nation).health()).ready

    await world.until(ready, bool)


async def bundles(world: World, nation: str) -> list[SentBundle]:
    store = world.sides[nation].store
    assert store is not None
    return await store.read(lambda tx: tx.outbox.bundles_from(0, limit=1_000))


async def until_one_waits_for_its_signature(world: World) -> None:
    async def unsigned() -> bool:
        return (await bundles(world, "FR"))[-1].note is None

    await world.until(unsigned, bool)


async def all_received(world: World, nation: str, ids: list[bytes]) -> None:
    for message_id in ids:
        await world.until_state(nation, message_id, "received")


async def test_a_node_without_its_token_accepts_and_sends_when_the_token_is_back(world: World) -> None:
    ids = await world.send_many("FR", 2)
    await all_received(world, "FR", ids)
    keyring = world.sides["FR"].keyring

    keyring.away_up_to = 1
    ids += await world.send_many("FR", 4)
    theirs = await world.send_many("US", 3)
    await until_not_ready(world, "FR")
    await until_one_waits_for_its_signature(world)
    keyring.away_up_to = 0

    await until_ready(world, "FR")
    await all_received(world, "FR", ids)
    await all_received(world, "US", theirs)
    await world.settle()
    await world.check()
    assert await world.received("US") == ids
    assert await world.received("FR") == theirs


async def test_what_waits_for_the_token_says_so_and_the_peer_is_not_blamed(world: World) -> None:
    ids = await world.send_many("FR", 1)
    await all_received(world, "FR", ids)
    world.sides["FR"].keyring.away_up_to = 1
    ids = await world.send_many("FR", 1)

    async def causes() -> set[str]:
        listing = await world.node("FR").queue.listing(condition=Condition.WAITING)
        return {item.cause for item in listing.items}

    await world.until(causes, lambda found: found == {"cannot-sign"})
    await until_not_ready(world, "FR")
    health = await world.node("FR").health()
    assert health.troubles == ()
    assert health.reachable


async def test_an_idle_node_notices_that_its_token_is_away(world: World) -> None:
    await world.settle()
    world.sides["FR"].keyring.away_up_to = 1
    world.clock.advance(11)
    await until_not_ready(world, "FR")
    world.sides["FR"].keyring.away_up_to = 0
    await until_ready(world, "FR")


async def test_a_node_that_starts_without_the_key_of_its_last_bundle_waits_for_it(world: World) -> None:
    ids = await world.send_many("FR", 2)
    await all_received(world, "FR", ids)
    keyring = world.sides["FR"].keyring
    keyring.away_up_to = 1
    ids += await world.send_many("FR", 1)
    await until_one_waits_for_its_signature(world)

    await world.restart("FR")
    ids += await world.send_many("FR", 2)
    assert not (await world.node("FR").health()).ready
    keyring.away_up_to = 0
    await world.until_phase("FR", Phase.RUNNING)
    await all_received(world, "FR", ids)
    await world.settle()
    await world.check()


@pytest.mark.parametrize("restarted", [False, True])
async def test_new_keys_take_over_from_those_of_a_token_that_is_lost(
    world: World, *, restarted: bool
) -> None:
    ids = await world.send_many("FR", 3)
    await all_received(world, "FR", ids)
    await world.settle()
    keyring = world.sides["FR"].keyring
    keyring.away_up_to = 1
    ids += await world.send_many("FR", 3)
    theirs = await world.send_many("US", 2)
    await until_one_waits_for_its_signature(world)

    keyring.rotate()
    if restarted:
        await world.restart("FR")
    else:
        await world.node("FR").restate()
    ids += await world.send_many("FR", 3)
    await all_received(world, "FR", ids)
    await all_received(world, "US", theirs)
    await until_ready(world, "FR")
    await world.settle()
    await world.check()

    assert await world.received("US") == ids
    store = world.sides["FR"].store
    assert store is not None
    (_, _), (index, _) = await store.read(partial(statements_in, origin=FR_LOG))
    # The bundle that the old key could not sign any more ends with the statement.
    joined = next(bundle for bundle in await bundles(world, "FR") if bundle.start <= index < bundle.end)
    assert joined.end == index + 1
    assert joined.count > 1
    note = await store.read(lambda tx: tx.logs.newest_note(FR_LOG))
    assert note is not None
    assert note.note is not None
    verify_log_note(note.note, verifier=_signer(FR_LOG, 2).verifier)


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("step", [Step.SEQUENCED, Step.SIGNED])
async def test_a_crash_while_new_keys_take_over_loses_nothing(
    world: World, step: Step, *, persisted: bool
) -> None:
    ids = await world.send_many("FR", 2)
    await all_received(world, "FR", ids)
    keyring = world.sides["FR"].keyring
    keyring.away_up_to = 1
    ids += await world.send_many("FR", 2)
    await until_one_waits_for_its_signature(world)

    world.break_write("FR", step, persisted=persisted)
    keyring.rotate()
    await world.node("FR").restate()
    await world.until_crashed("FR")
    await world.restart("FR")
    ids += await world.send_many("FR", 2)
    await all_received(world, "FR", ids)
    await world.settle()
    await world.check()
    assert await world.received("US") == ids
