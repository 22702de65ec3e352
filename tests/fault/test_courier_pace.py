"""When a bundle leaves, and what it takes along."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.core.entries import MessageEntry
from gateway.core.envelope import decode_header
from gateway.core.states import State
from gateway.node.courier import CourierConfig
from gateway.node.sequencer import URGENT_BUNDLE
from gateway.node.window import MAX_IN_FLIGHT
from tests.couriers import count, inbox, one_by_one, post_many, posted, ready
from tests.messages import INVESTIGATORS
from tests.world import World

ANOTHER = 1 << 40
"""Where a bundle would begin that does not get taken."""


async def begin_to_gather(world: World) -> None:
    """Exchange a message of the US, so that its next bundle waits for as long as its pace says."""
    await world.settle()
    (first,) = await post_many(world, "US", 1)
    await world.until_state("US", first, "received", agency=INVESTIGATORS["US"])


async def test_a_bundle_with_messages_makes_the_next_one_wait_and_one_of_receipts_does_not(
    tmp_path: Path,
) -> None:
    config = CourierConfig(pace_ms=600_000, first_wait_s=0.02, longest_wait_s=0.2)
    async with World(tmp_path, config=config) as world:
        await begin_to_gather(world)

        (here,) = await post_many(world, "US", 1)
        (there,) = await post_many(world, "FR", 1)

        await world.until_state("FR", there, "sent", "delivered", agency=INVESTIGATORS["FR"])
        assert await world.state("US", here, INVESTIGATORS["US"]) == "accepted"


async def test_a_bundle_that_is_full_waits_for_no_company(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.node.window.NEAR_S", 0.0)
    monkeypatch.setattr("gateway.node.window.MOST_MESSAGES", 2 * URGENT_BUNDLE * MAX_IN_FLIGHT)
    config = CourierConfig(pace_ms=600_000, first_wait_s=0.02, longest_wait_s=0.2)
    async with World(tmp_path, config=config) as world:
        await begin_to_gather(world)
        full = 2 * URGENT_BUNDLE
        routine = await post_many(world, "US", URGENT_BUNDLE - 1 + 2 * full + 1)

        # Takes a few along, and leaves two full bundles and one message.
        await world.send("US", precedence="FLASH")

        await world.until_state("US", routine[-2], "received", agency=INVESTIGATORS["US"])
        assert await count(world, "US", State.ACCEPTED) == 1


async def test_a_bundle_that_becomes_full_while_it_gathers_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.node.window.NEAR_S", 0.0)
    monkeypatch.setattr("gateway.node.window.MOST_MESSAGES", 2 * URGENT_BUNDLE * MAX_IN_FLIGHT)
    config = CourierConfig(pace_ms=600_000, first_wait_s=0.02, longest_wait_s=0.2)
    async with World(tmp_path, config=config) as world:
        await begin_to_gather(world)

        routine = await post_many(world, "US", 2 * URGENT_BUNDLE)

        await world.until_state("US", routine[-1], "received", agency=INVESTIGATORS["US"])


async def test_receipts_of_bundles_that_are_here_together_leave_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.node.due.RECEIPTS_S", 600.0)
    await world.settle()
    faults = world.sides["US"].faults
    intake = world.node("FR")._intake
    before = await posted(world, "FR")
    faults.gate = asyncio.Event()
    flying = await one_by_one(world, "US", MAX_IN_FLIGHT, urgent=False)

    async with intake._turn:
        faults.gate.set()
        await world.until(lambda: ready(len(intake._waiting)), lambda number: number == MAX_IN_FLIGHT)

    # With the last of them taken nothing is waited for: not until somebody looks, once a minute.
    async with asyncio.timeout(30):
        for message_id in flying:
            await world.until_state("US", message_id, "received", agency=INVESTIGATORS["US"])
    assert await posted(world, "FR") == before + 1


async def test_a_receipt_waits_no_longer_for_that_of_a_bundle_that_does_not_get_taken(world: World) -> None:
    await world.settle()
    intake = world.node("FR")._intake
    intake._waiting.add(ANOTHER)

    (routine,) = await post_many(world, "US", 1)

    await world.until_state("US", routine, "received", agency=INVESTIGATORS["US"])
    intake._waiting.discard(ANOTHER)


async def test_the_receipt_of_what_is_urgent_does_not_wait_for_another_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.node.due.RECEIPTS_S", 600.0)
    await world.settle()
    intake = world.node("FR")._intake
    intake._waiting.add(ANOTHER)
    (routine,) = await post_many(world, "US", 1)
    await world.until(lambda: inbox(world, "FR"), bool)
    await asyncio.sleep(0.2)
    assert await world.state("US", routine, INVESTIGATORS["US"]) in {"sent", "delivered"}

    flash = await world.send("US", precedence="FLASH")

    await world.until_state("US", flash, "received")
    await world.until_state("US", routine, "received", agency=INVESTIGATORS["US"])
    intake._waiting.discard(ANOTHER)


async def test_a_flash_closes_the_bundle_that_is_being_gathered(tmp_path: Path) -> None:
    config = CourierConfig(pace_ms=600_000, first_wait_s=0.02, longest_wait_s=0.2)
    async with World(tmp_path, config=config) as world:
        await begin_to_gather(world)
        (routine,) = await post_many(world, "US", 1)
        await asyncio.sleep(0.2)
        agency = INVESTIGATORS["US"]
        assert await world.state("US", routine, agency) == "accepted"

        flash = await world.send("US", precedence="FLASH")

        await world.until_state("US", flash, "delivered", "received")
        await world.until_state("US", routine, "delivered", "received", agency=agency)
        _, *entries = [e for e in await world.log("US") if isinstance(e, MessageEntry)]
        assert len(entries) == 2


async def test_a_flash_takes_a_few_of_those_that_wait_along_and_leaves_the_rest(tmp_path: Path) -> None:
    config = CourierConfig(pace_ms=600_000, first_wait_s=0.02, longest_wait_s=0.2)
    async with World(tmp_path, config=config) as world:
        await begin_to_gather(world)
        routine = await post_many(world, "US", 3 * URGENT_BUNDLE)

        flash = await world.send("US", precedence="FLASH")

        await world.until_state("US", flash, "received")
        _, *entries = [e for e in await world.log("US") if isinstance(e, MessageEntry)]
        ids = [decode_header(entry.header).message_id for entry in entries]
        assert ids == [flash, *routine[: URGENT_BUNDLE - 1]]
        assert await count(world, "US", State.ACCEPTED) == len(routine) - URGENT_BUNDLE + 1


async def test_all_that_is_urgent_leaves_together(tmp_path: Path) -> None:
    config = CourierConfig(pace_ms=600_000, first_wait_s=0.02, longest_wait_s=0.2)
    async with World(tmp_path, config=config) as world:
        await world.settle()
        await world.cut_off("US")
        routine = await post_many(world, "US", 1)
        urgent = await post_many(world, "US", 3 * URGENT_BUNDLE, precedence="IMMEDIATE")

        world.reconnect("US")

        await world.until_state("US", urgent[-1], "received", agency=INVESTIGATORS["US"])
        entries = [e for e in await world.log("US") if isinstance(e, MessageEntry)]
        ids = [decode_header(e.header).message_id for e in entries if e.bundle_id == entries[0].bundle_id]
        assert ids == urgent
        assert routine[0] not in ids


async def test_what_waits_leaves_in_order_of_precedence_and_then_of_age(world: World) -> None:
    await world.settle()
    await world.cut_off("US")
    agency = INVESTIGATORS["US"]
    routine = await post_many(world, "US", 5)
    priority = await post_many(world, "US", 5, precedence="PRIORITY")
    immediate = [await world.send("US") for _ in range(2)]
    flash = [await world.send("US", precedence="FLASH") for _ in range(2)]
    world.reconnect("US")

    for message_id in routine:
        await world.until_state("US", message_id, "received", agency=agency)

    logged = [
        decode_header(entry.header).message_id
        for entry in await world.log("US")
        if isinstance(entry, MessageEntry)
    ]
    assert logged == [*flash, *immediate, *priority, *routine]


async def test_a_message_that_waited_for_days_is_received_like_any_other(world: World) -> None:
    await world.settle()
    await world.cut_off("US")
    (message_id,) = await post_many(world, "US", 1)

    world.clock.advance(5 * 86_400)
    world.reconnect("US")

    await world.until_state("US", message_id, "received", agency=INVESTIGATORS["US"])
    assert await inbox(world, "FR") == [message_id]
