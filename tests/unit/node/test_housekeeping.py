"""Rounds by the clock: one that fails is tried again, and only a failed store ends the node."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.core.entries import EventEntry
from gateway.errors import OperatorError, StoreError
from gateway.node import housekeeping
from gateway.ports import Step
from tests.world import World


def parts(world: World) -> Any:
    return world.node("US")._housekeeping


async def test_a_round_that_fails_is_reported_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.settle()
    failures = 0

    async def fail() -> None:
        nonlocal failures
        failures += 1
        if failures < 3:
            msg = "a disk is full"
            raise OperatorError(msg)

    monkeypatch.setattr(parts(world), "sign_audit", fail)
    while failures < 4:
        world.clock.advance(1.1)
        await asyncio.sleep(0.02)

    task = world.sides["US"].task
    assert task is not None
    assert not task.done()
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")


async def test_a_failed_store_ends_the_node_with_a_reason(world: World) -> None:
    await world.settle()
    world.break_write("US", Step.SIGNED, persisted=False)
    await world.send("US")

    task = world.sides["US"].task
    assert task is not None
    async with asyncio.timeout(20):
        await asyncio.wait([task])
    assert isinstance(task.exception(), StoreError)


async def test_more_expired_messages_than_one_write_takes_all_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "EXPIRE_LIMIT", 3)
    await world.settle()
    await world.cut_off("US")
    ids = await world.send_many("US", 8)

    world.clock.advance(31 * 86_400)

    for message_id in ids:
        await world.until_state("US", message_id, "expired")
    events = [event for event in await world.events("US") if event.event == "message.expired"]
    assert sorted(item for event in events for item in event.objects) == sorted(ids)
    assert [len(event.objects) for event in events] == [3, 3, 2]


async def test_the_last_events_are_signed_at_an_orderly_stop(world: World) -> None:
    await world.settle()
    await world.send("US")

    await world.node("US").close_books()

    side = world.sides["US"]
    assert side.store is not None
    origin = side.keyring.pair.audit_origin
    note = await side.store.read(lambda tx: tx.logs.newest_note(origin))
    assert note is not None
    # Behind it may stand what the peer has said of the message since: this node runs on.
    log = await world.log("US", origin)
    (stopped,) = [
        index
        for index, entry in enumerate(log)
        if isinstance(entry, EventEntry) and entry.event == "node.stopped"
    ]
    assert note.size > stopped


async def test_nothing_is_signed_at_a_stop_before_the_log_was_known_to_be_whole(world: World) -> None:
    await world.settle()
    world.sides["US"].faults.unreachable = True
    await world.restart("US")
    await asyncio.sleep(0.1)
    side = world.sides["US"]
    assert side.store is not None
    origin = side.keyring.pair.audit_origin
    before = await side.store.read(lambda tx: tx.logs.newest_note(origin))

    await world.node("US").close_books()

    after = await side.store.read(lambda tx: tx.logs.newest_note(origin))
    assert (before and before.size) == (after and after.size)
