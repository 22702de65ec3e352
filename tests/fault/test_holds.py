"""A legal hold keeps content at the node that set it, until it is lifted."""

from __future__ import annotations

import pytest

from gateway.core.entries import Role
from gateway.node.custody import OnHoldError
from gateway.node.health import Phase
from gateway.node.inbox import NotFoundError
from tests.fault.test_erasure import LAST_DAY_OVER_S, OPERATOR, deliver, kept, order, sealed, until_erased
from tests.messages import (
    DAY_MS,
    PERSONAL,
    acknowledgement,
    request,
)
from tests.world import World


async def hold(world: World, nation: str, subject: bytes, *, conversation: bool = False) -> int:
    return await world.node(nation).custody.hold(
        OPERATOR, subject, "Pending trial", conversation=conversation
    )


async def lift(world: World, nation: str, subject: bytes, *, conversation: bool = False) -> None:
    await world.node(nation).custody.lift(OPERATOR, subject, "Trial over", conversation=conversation)


async def test_a_held_message_outlives_its_last_day_and_goes_when_the_hold_is_lifted(world: World) -> None:
    message_id = await deliver(world, data_protection=PERSONAL)
    assert await hold(world, "FR", message_id) == 1
    assert (await world.node("FR").health()).vitals.held == 1

    world.clock.advance(LAST_DAY_OVER_S)
    await until_erased(world, "US", message_id)
    assert await sealed(world, "FR", message_id)
    await world.restart("FR")
    (delivery,) = await world.node("FR").inbox.page(world.principal("FR"))
    assert delivery.message is not None

    await lift(world, "FR", message_id)
    await until_erased(world, "FR", message_id)
    assert (await world.node("FR").health()).vitals.held == 0


async def test_a_held_message_cannot_be_erased_by_order(world: World) -> None:
    message_id = await deliver(world)
    await hold(world, "FR", message_id)
    with pytest.raises(OnHoldError):
        await order(world, "FR", message_id)
    assert await sealed(world, "FR", message_id)


async def test_a_held_conversation_keeps_what_comes_later(world: World) -> None:
    now_ms = world.clock.now_ms()
    asked = await world.post("US", request("US", now_ms), agency="US.ICE.HSI")
    await world.until_state("US", asked.message_id, "received", agency="US.ICE.HSI")
    await hold(world, "US", asked.message_id, conversation=True)
    ack = await world.post("FR", acknowledgement("FR", asked.message_id, now_ms), agency="FR.DGDDI.DNRED")
    await world.until_state("FR", ack.message_id, "received", agency="FR.DGDDI.DNRED")

    world.clock.advance(2_000 * DAY_MS / 1_000)
    await until_erased(world, "FR", ack.message_id)

    for message_id in (asked.message_id, ack.message_id):
        assert await sealed(world, "US", message_id)


async def test_holds_are_on_record_with_who_set_them_and_the_digest_of_why(world: World) -> None:
    message_id = await deliver(world)
    await hold(world, "FR", message_id)
    await lift(world, "FR", message_id)

    events = [e for e in await world.events("FR") if e.event.startswith("hold.")]
    assert [(e.event, e.role, e.actor, e.objects) for e in events] == [
        ("hold.set", Role.OPERATOR, OPERATOR.spki, (message_id,)),
        ("hold.lifted", Role.OPERATOR, OPERATOR.spki, (message_id,)),
    ]
    assert all(len(e.details[0]) == 48 for e in events if isinstance(e.details[0], bytes))
    with pytest.raises(NotFoundError):
        await lift(world, "FR", message_id)


async def test_a_hold_that_a_backup_does_not_know_stands_before_anything_is_erased(world: World) -> None:
    message_id = await deliver(world, data_protection=PERSONAL)
    copy = world.backup("FR")
    await hold(world, "FR", message_id)
    world.clock.advance(LAST_DAY_OVER_S)
    await until_erased(world, "US", message_id)

    await world.restore("FR", copy)
    await world.start("FR")

    (delivery,) = await world.node("FR").inbox.page(world.principal("FR"))
    assert delivery.message is not None
    (standing,) = await world.node("FR").custody.holds()
    assert (standing.subject, standing.reason) == (message_id, "Pending trial")


async def test_a_hold_that_was_lifted_after_the_backup_does_not_come_back(world: World) -> None:
    message_id = await deliver(world)
    await hold(world, "FR", message_id)
    copy = world.backup("FR")
    await lift(world, "FR", message_id)

    await world.restore("FR", copy)
    await world.start("FR")
    await world.until_phase("FR", Phase.RUNNING)

    assert await world.node("FR").custody.holds() == []
    assert not (await kept(world, "FR", message_id)).row.held
