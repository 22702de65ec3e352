"""A process that dies at any write loses nothing, repeats nothing, and signs no fork."""

from __future__ import annotations

from contextlib import suppress

import pytest

from gateway.errors import StoreError
from gateway.ports import Step
from tests.world import CrashError, World

SENDER_STEPS = (Step.ACCEPTED, Step.SEQUENCED, Step.SIGNED, Step.DELIVERED)
RECEIVER_STEPS = (Step.MIRRORED, Step.SEQUENCED, Step.SIGNED, Step.DELIVERED)


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("step", SENDER_STEPS)
async def test_a_crash_of_the_sender_at_any_write_loses_and_repeats_nothing(
    world: World, step: Step, *, persisted: bool
) -> None:
    before = await world.send("US")
    await world.until_state("US", before, "received")
    await world.settle()
    document = world.draft("US")
    world.break_write("US", step, persisted=persisted)

    accepted = True
    try:
        await world.post("US", document, key="the-key")
    except StoreError:
        accepted = False
    await world.until_crashed("US")
    await world.restart("US")

    # The agency heard nothing, or a 202: in both cases it may post again with its key.
    again = await world.post("US", document, key="the-key")
    await world.until_state("US", again.message_id, "received")
    await world.settle()
    assert accepted == (step is not Step.ACCEPTED)
    assert await world.received("FR") == [before, again.message_id]
    await world.check()


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("step", RECEIVER_STEPS)
async def test_a_crash_of_the_receiver_at_any_write_loses_and_repeats_nothing(
    world: World, step: Step, *, persisted: bool
) -> None:
    before = await world.send("US")
    await world.until_state("US", before, "received")
    await world.settle()
    if step is Step.DELIVERED:
        # The receiver writes this only as a sender of messages of its own.
        other = await world.send("FR")
        await world.until_state("FR", other, "received")
    world.break_write("FR", step, persisted=persisted)
    message_id = await world.send("US")
    if step is Step.DELIVERED:
        # It may have died already, at the cosignature of what it sent before.
        with suppress(CrashError):
            await world.send("FR")

    await world.until_crashed("FR")
    await world.restart("FR")

    await world.until_state("US", message_id, "received")
    await world.settle()
    assert await world.received("FR") == [before, message_id]
    await world.check()


@pytest.mark.parametrize("persisted", [False, True])
async def test_a_crash_while_a_message_is_collected_collects_it_once(
    world: World, *, persisted: bool
) -> None:
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")
    world.break_write("FR", Step.COLLECTED, persisted=persisted)

    with pytest.raises(StoreError):
        await world.node("FR").inbox.acknowledge(world.principal("FR"), message_id)
    await world.restart("FR")

    await world.node("FR").inbox.acknowledge(world.principal("FR"), message_id)
    await world.until_state("US", message_id, "collected")
    await world.settle()
    await world.check()


async def test_lost_answers_make_replays_not_repeats(world: World) -> None:
    world.sides["US"].faults.lose_answers = True
    message_id = await world.send("US")
    await world.until(lambda: world.received("FR"), lambda ids: ids == [message_id])

    world.sides["US"].faults.lose_answers = False

    await world.until_state("US", message_id, "received")
    await world.settle()
    assert await world.received("FR") == [message_id]
    await world.check()


async def test_both_nodes_die_at_once_and_go_on(world: World) -> None:
    await world.settle()
    world.break_write("FR", Step.MIRRORED, persisted=True)
    ids = await world.send_many("US", 20)
    await world.until_crashed("FR")
    document = world.draft("US")
    world.break_write("US", Step.ACCEPTED, persisted=True)
    with pytest.raises(StoreError):
        await world.post("US", document, key="the-key")

    await world.restart("FR")
    await world.restart("US")

    ids.append((await world.post("US", document, key="the-key")).message_id)
    for message_id in ids:
        await world.until_state("US", message_id, "received")
    await world.settle()
    assert sorted(await world.received("FR")) == sorted(ids)
    await world.check()


async def test_no_mark_says_that_something_was_signed_before_the_note_is_durable(world: World) -> None:
    """An auditor takes a mark beyond the newest note for a database that was rolled back."""
    await world.settle()
    world.break_write("US", Step.SIGNED, persisted=False)
    await world.send("US")
    await world.until_crashed("US")
    side, origin = world.sides["US"], world.exchange_origin("US")
    assert side.store is not None
    assert side.high_water is not None

    note = await side.store.read(lambda tx: tx.logs.newest_note(origin))

    assert note is not None
    assert side.high_water.read()[origin] == (note.size, note.root)
