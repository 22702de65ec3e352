"""The queue of the operators on two whole nodes: every condition with its cause, retry and cancel."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.entries import Role, VoidEntry
from gateway.errors import PairFrozenError, PeerError, UnavailableError
from gateway.node.audit_log import Actor
from gateway.node.health import Phase
from gateway.node.inbox import NotFoundError
from gateway.node.queue import Condition, Item, NotWaitingError, QueueDesk
from gateway.node.tracking import TooLateError
from gateway.ports import Step
from tests.world import World

OPERATOR = Actor(role=Role.OPERATOR, spki=b"o" * 32)
DAY_S = 86_400


def desk(world: World, nation: str = "US") -> QueueDesk:
    return world.node(nation).queue


async def the_item(world: World, message_id: bytes, nation: str = "US") -> Item:
    item = await desk(world, nation).find(message_id)
    assert item is not None
    return item


async def conditions(world: World, nation: str = "US") -> list[tuple[Condition, str]]:
    return [(item.condition, item.cause) for item in (await desk(world, nation).listing()).items]


async def test_what_goes_well_is_in_nobodys_way(world: World) -> None:
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")

    found = await desk(world).listing()
    assert (found.items, found.more) == ((), False)
    assert found.counts["received"] == 1
    assert await desk(world).find(message_id) is None
    with pytest.raises(NotFoundError):
        await desk(world).find(bytes(16))


async def test_a_message_waits_and_then_is_stuck_while_the_peer_is_away_and_goes_at_a_retry(
    world: World,
) -> None:
    await world.settle()
    # From here on a failing try is followed by a wait of an hour.
    patience = world.node("US")._courier._patience
    patience.first_wait_s = patience.longest_wait_s = 3_600
    await world.cut_off("US")
    message_id = await world.send("US")

    item = await the_item(world, message_id)
    assert (item.condition, item.cause) == (Condition.WAITING, "peer-away")
    assert await conditions(world) == []
    assert [item.row.message_id for item in (await desk(world).listing(condition=Condition.WAITING)).items]

    world.clock.advance(61)
    assert await conditions(world) == [(Condition.STUCK, "peer-away")]
    assert (await the_item(world, message_id)).condition is Condition.STUCK

    world.reconnect("US")
    line = await desk(world).retry(OPERATOR, "Line is back", message_id)
    assert line.trouble == "unavailable"
    # The courier goes on within a second, not within the hour that it would have waited.
    world.clock.advance(2)
    await world.until_state("US", message_id, "received")
    assert await conditions(world) == []
    (event,) = [event for event in await world.events("US") if event.event == "queue.retried"]
    assert (event.role, event.actor, event.objects) == (Role.OPERATOR, OPERATOR.spki, (message_id,))


async def test_a_peer_that_refuses_is_told_from_one_that_does_not_answer(world: World) -> None:
    await world.settle()
    world.sides["US"].faults.refuse = lambda _: PeerError("no")
    message_id = await world.send("US")

    async def cause() -> str:
        return (await the_item(world, message_id)).cause

    await world.until(cause, lambda found: found == "peer-refuses")
    assert (await desk(world).retry(OPERATOR, "Again")).trouble == "peer-refused"
    world.sides["US"].faults.refuse = None
    await world.until_state("US", message_id, "received")


async def test_a_delivered_message_without_a_receipt_is_stuck_after_a_while(world: World) -> None:
    await world.settle()
    faults = world.sides["FR"].faults
    faults.refuse = lambda _: UnavailableError("gone")
    faults.refuse_question = lambda _: UnavailableError("gone")
    message_id = await world.send("US")
    await world.until_state("US", message_id, "delivered")

    assert (await the_item(world, message_id)).condition is Condition.WAITING
    world.clock.advance(61)
    assert await conditions(world) == [(Condition.STUCK, "no-receipt")]
    faults.refuse = faults.refuse_question = None
    world.clock.advance(61)
    await world.until_state("US", message_id, "received")


async def test_a_message_that_expired_here_says_so_and_cannot_be_tried_again(world: World) -> None:
    await world.settle()
    await world.cut_off("US")
    message_id = await world.send("US")
    world.clock.advance(31 * DAY_S)
    await world.until_state("US", message_id, "expired")

    assert (Condition.EXPIRED, "expired-here") in await conditions(world)
    item = await the_item(world, message_id)
    assert item.row.decided_ms == item.since_ms
    with pytest.raises(NotWaitingError):
        await desk(world).retry(OPERATOR, "Please", message_id)
    with pytest.raises(TooLateError):
        await desk(world).cancel(OPERATOR, message_id, "Tidy up")


async def test_a_message_that_expired_on_the_way_has_the_receipts_word_for_it(world: World) -> None:
    await world.settle()
    faults = world.sides["US"].faults
    faults.gate = asyncio.Event()
    message_id = await world.send("US")
    await world.until_state("US", message_id, "sent")
    world.clock.advance(31 * DAY_S)
    faults.gate.set()
    await world.until_state("US", message_id, "expired")
    assert (await the_item(world, message_id)).cause == "expired"


async def test_a_request_after_its_deadline_is_overdue_at_both_nodes(world: World) -> None:
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")
    world.clock.advance(2 * DAY_S)

    assert (Condition.OVERDUE, "no-answer-from-peer") in await conditions(world, "US")
    assert (Condition.OVERDUE, "no-answer-from-us") in await conditions(world, "FR")
    assert (await the_item(world, message_id, "FR")).condition is Condition.OVERDUE
    assert (await world.node("FR").health()).vitals.overdue == 1
    mine = await desk(world).listing(agency="US.ICE.HSI")
    assert mine.items == ()


async def test_an_operator_cancels_what_was_not_sent_and_the_log_declares_its_number_void(
    world: World,
) -> None:
    await world.settle()
    await world.cut_off("US")
    message_id = await world.send("US")

    row = await desk(world).cancel(OPERATOR, message_id, "Sent by mistake")
    assert row.state.label == "withdrawn"
    again = await desk(world).cancel(OPERATOR, message_id, "Sent by mistake")
    assert again.decided_ms == row.decided_ms
    assert await world.state("US", message_id) == "withdrawn"

    world.reconnect("US")
    await world.until(lambda: world.log("US"), lambda log: any(isinstance(entry, VoidEntry) for entry in log))
    assert await world.received("FR") == []
    (event,) = [event for event in await world.events("US") if event.event == "queue.cancelled"]
    assert (event.role, event.actor, event.objects) == (Role.OPERATOR, OPERATOR.spki, (message_id,))
    assert [type(detail) for detail in event.details] == [bytes]


async def test_what_the_peer_sent_is_not_this_nodes_to_cancel_or_retry(world: World) -> None:
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")
    with pytest.raises(NotFoundError):
        await desk(world, "FR").cancel(OPERATOR, message_id, "No")
    with pytest.raises(NotWaitingError):
        await desk(world, "FR").retry(OPERATOR, "No", message_id)
    with pytest.raises(TooLateError):
        await desk(world, "US").cancel(OPERATOR, message_id, "Too late")


async def test_in_a_frozen_pair_the_queue_says_so_and_a_retry_does_not_pretend(world: World) -> None:
    await world.settle()
    store = world.sides["US"].store
    assert store is not None
    await store.write(Step.AUDITED, lambda tx: tx.facts.put("frozen", "for a test"))
    await world.restart("US")
    await world.until_phase("US", Phase.FROZEN)
    message_id = await world.send("US")

    assert (await the_item(world, message_id)).cause == "pair-frozen"
    with pytest.raises(PairFrozenError):
        await desk(world).retry(OPERATOR, "Please")
    assert [event for event in await world.events("US") if event.event == "queue.retried"] == []


async def test_a_long_list_is_cut_and_says_so(world: World) -> None:
    await world.settle()
    await world.cut_off("US")
    await world.send_many("US", 5)
    found = await desk(world).listing(condition=Condition.WAITING, limit=3)
    assert (len(found.items), found.more) == (3, True)
    assert found.counts["accepted"] == 5
