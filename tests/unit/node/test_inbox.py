"""An agency's inbox: what is its own, in order, in pages that fit, and acknowledged once."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from gateway.core.entries import EventEntry
from gateway.node import inbox as inbox_module
from gateway.node.inbox import Inbox, NotFoundError
from tests.messages import INVESTIGATORS, intelligence
from tests.world import World


async def deliver(world: World, *precedences: str) -> list[bytes]:
    agency = INVESTIGATORS["US"]
    ids = []
    for precedence in precedences:
        draft = intelligence("US", precedence=precedence)
        ids.append((await world.post("US", draft, agency=agency)).message_id)
    for message_id in ids:
        await world.until_state("US", message_id, "received", agency=agency)
    return ids


def inbox(world: World) -> Inbox:
    return world.node("FR").inbox


def reader(world: World) -> Any:
    return world.principal("FR", INVESTIGATORS["FR"])


async def test_messages_come_in_order_of_precedence_and_then_of_arrival(world: World) -> None:
    first, second, urgent = await deliver(world, "ROUTINE", "ROUTINE", "PRIORITY")

    page = await inbox(world).page(reader(world))

    assert [item.row.message_id for item in page] == [urgent, first, second]
    assert [item.collected_ms for item in page] == [None] * 3


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages_follow_each_other_without_gap_or_repeat(
    world: World, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "FIRST_STEP", 2)
    sent = await deliver(world, *["ROUTINE"] * 5)

    found: list[bytes] = []
    after = (-1, 0)
    while page := await inbox(world).page(reader(world), after=after, limit=limit):
        assert len(page) <= limit
        found += [item.row.message_id for item in page]
        after = (page[-1].row.rank, page[-1].row.number)

    assert found == sent


async def test_a_page_holds_no_more_than_it_may_and_one_message_at_least(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deliver(world, *["ROUTINE"] * 5)
    sizes = [len(item.message or b"") for item in await inbox(world).page(reader(world))]
    read: list[int] = []
    listing = type(await _any_inbox(world)).listing

    def counted(self: object, *args: Any, **kwargs: Any) -> Any:
        rows = listing(self, *args, **kwargs)
        read.append(len(rows))
        return rows

    monkeypatch.setattr(type(await _any_inbox(world)), "listing", counted)
    monkeypatch.setattr(inbox_module, "FIRST_STEP", 1)
    for room, expected in ((1, 1), (sum(sizes[:3]), 3), (1 << 20, 5)):
        read.clear()
        monkeypatch.setattr(inbox_module, "MAX_PAGE_BYTES", room)
        assert len(await inbox(world).page(reader(world))) == expected
        assert sum(read) <= expected + 1, "no more is read than a page may hold"


async def _any_inbox(world: World) -> Any:
    store = world.sides["FR"].store
    assert store is not None
    return await store.read(lambda tx: tx.inbox)


async def test_whoever_waits_is_woken_by_the_first_arrival(world: World) -> None:
    await world.settle()
    waiting = [asyncio.create_task(inbox(world).page(reader(world), wait_s=60)) for _ in range(2)]
    await asyncio.sleep(0.05)

    (message_id,) = await deliver(world, "ROUTINE")

    for task in waiting:
        (delivery,) = await asyncio.wait_for(task, 20)
        assert delivery.row.message_id == message_id


async def test_waiting_ends_with_nothing_when_its_time_is_over(world: World) -> None:
    waiting = asyncio.create_task(inbox(world).page(reader(world), wait_s=30))

    async def is_over() -> bool:
        # Nobody sees when the waiting has begun, so time passes until it has.
        world.clock.advance(31)
        return waiting.done()

    await world.until(is_over, bool)
    assert waiting.result() == []


async def test_one_message_comes_with_what_this_node_verified(world: World) -> None:
    (message_id,) = await deliver(world, "ROUTINE")
    await world.settle()

    delivery, verification = await inbox(world).read(reader(world), message_id)

    assert delivery.row.message_id == message_id
    assert verification.origin == world.sides["FR"].keyring.pair.peer_origin
    assert verification.index == delivery.row.log_index
    assert verification.checkpoint_size > verification.index
    assert verification.receipt_index is not None


async def test_an_acknowledgement_may_be_repeated_and_keeps_its_time(world: World) -> None:
    (message_id,) = await deliver(world, "ROUTINE")
    first = await inbox(world).acknowledge(reader(world), message_id)
    world.clock.advance(10)

    assert await inbox(world).acknowledge(reader(world), message_id) == first
    assert await inbox(world).page(reader(world)) == []
    (delivery,) = await inbox(world).page(reader(world), collected=True)
    assert (delivery.row.message_id, delivery.collected_ms) == (message_id, first)


async def test_many_acknowledgements_are_one_event_and_repeats_are_none(world: World) -> None:
    first, second = await deliver(world, "ROUTINE", "ROUTINE")
    at_ms = await inbox(world).acknowledge(reader(world), first)
    world.clock.advance(10)

    times = await inbox(world).acknowledge_all(reader(world), [second, bytes(16), first])
    again = await inbox(world).acknowledge_all(reader(world), [second, first])

    assert times[1:] == [None, at_ms]
    assert again == [times[0], at_ms]
    collected = [
        entry.objects
        for entry in await world.log("FR", world.node("FR").pair.audit_origin)
        if isinstance(entry, EventEntry) and entry.event == "message.collected"
    ]
    assert collected == [(first,), (second,)]


async def test_unknown_and_not_yours_look_the_same(world: World) -> None:
    (message_id,) = await deliver(world, "ROUTINE")
    stranger = world.principal("FR")

    for principal, asked in ((reader(world), bytes(16)), (stranger, message_id)):
        with pytest.raises(NotFoundError) as reading:
            await inbox(world).read(principal, asked)
        with pytest.raises(NotFoundError) as acknowledging:
            await inbox(world).acknowledge(principal, asked)
        assert str(reading.value) == str(acknowledging.value) == "no such message in this inbox"
    assert await inbox(world).page(stranger) == []


async def test_an_erased_message_is_shown_without_its_content(world: World) -> None:
    (message_id,) = await deliver(world, "ROUTINE")
    # Erasure has an issue of its own; this is what it will leave.
    await world.stop("FR")
    with closing(sqlite3.connect(world.sides["FR"].database)) as database:
        database.execute("DELETE FROM contents")
        database.commit()
    await world.start("FR")

    (delivery,) = await inbox(world).page(reader(world))
    assert (delivery.row.message_id, delivery.message) == (message_id, None)
