"""What was destroyed stays so when a database is put back from a backup, and voids nothing that was sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.entries import VoidEntry
from gateway.core.message.retention import Ground
from gateway.core.states import State
from gateway.node.health import Phase
from gateway.ports import Step
from tests.fault.test_erasure import (
    LAST_DAY_OVER_S,
    deliver,
    erased_entries,
    kept,
    order,
    places,
    sealed,
    until_erased,
    until_scrubbed,
)
from tests.messages import (
    PERSONAL,
)
from tests.world import World


@pytest.mark.parametrize("nation", ["FR", "US"])
async def test_a_restored_backup_erases_again_before_it_shows_anything(world: World, nation: str) -> None:
    message_id = await deliver(world)
    secrets = await sealed(world, nation, message_id)
    copy = world.backup(nation)
    await order(world, nation, message_id)
    await world.until(lambda: erased_entries(world, nation), bool)
    await world.settle()

    await world.restore(nation, copy)
    world.sides[nation].faults.unreachable = True
    await world.start(nation)

    # The peer is not there; what is shown first is erased all the same.
    if nation == "FR":
        (delivery,) = await world.node("FR").inbox.page(world.principal("FR"))
        assert delivery.message is None
    found = await until_erased(world, nation, message_id)
    assert found.row.ground is Ground.RESTORED
    await until_scrubbed(world, nation)
    for part in secrets:
        assert places(world, nation, part) == []
    world.reconnect(nation)
    await world.until_phase(nation, Phase.RUNNING)
    await world.settle()
    await world.check()


async def test_a_backup_restored_without_its_other_files_erases_again_by_what_its_log_says(
    world: World,
) -> None:
    message_id = await deliver(world)
    copy = world.backup("FR")
    await order(world, "FR", message_id)
    await world.until(lambda: erased_entries(world, "FR"), bool)
    await world.settle()

    await world.restore("FR", copy, marks=False)
    await world.start("FR")

    found = await until_erased(world, "FR", message_id)
    assert found.row.ground is Ground.RESTORED
    await world.until_phase("FR", Phase.RUNNING)
    await world.settle()
    # It is not named a second time.
    assert len(await erased_entries(world, "FR")) == 1
    await world.check()


async def sent_after_the_backup(world: World) -> tuple[Path, bytes]:
    """Return a copy of the American database in which a message waits that is received since."""
    await deliver(world)
    await world.cut_off("US")
    message_id = await world.send("US")
    copy = world.backup("US")
    world.reconnect("US")
    await world.until_state("US", message_id, "received")
    await world.settle()
    return copy, message_id


async def void_entries(world: World) -> list[VoidEntry]:
    return [entry for entry in await world.log("US") if isinstance(entry, VoidEntry)]


@pytest.mark.parametrize("away", [False, True])
async def test_the_number_of_a_message_that_was_sent_after_the_backup_and_erased_is_not_void(
    world: World, *, away: bool
) -> None:
    copy, message_id = await sent_after_the_backup(world)
    secrets = await sealed(world, "US", message_id)
    await order(world, "US", message_id)
    await world.until(lambda: erased_entries(world, "US"), bool)
    await world.settle()

    await world.restore("US", copy)
    world.sides["US"].faults.unreachable = away
    await world.start("US")
    if away:
        found = await until_erased(world, "US", message_id)
        await until_scrubbed(world, "US")
        assert [places(world, "US", part) for part in secrets] == [[], []]
        assert not found.row.is_void
        world.reconnect("US")

    await world.until_phase("US", Phase.RUNNING)
    assert (await until_erased(world, "US", message_id)).row.ground is Ground.RESTORED
    await deliver(world)

    async def was() -> State | None:
        return (await kept(world, "US", message_id)).row.was

    await world.until(was, lambda state: state is State.RECEIVED)
    await world.settle()
    assert await void_entries(world) == []
    assert not (await kept(world, "US", message_id)).row.is_void
    assert len(await erased_entries(world, "US")) == 1
    await world.check()


async def test_an_order_that_comes_before_the_peer_has_answered_destroys_at_once_and_voids_nothing(
    world: World,
) -> None:
    copy, message_id = await sent_after_the_backup(world)
    await world.restore("US", copy)
    world.sides["US"].faults.unreachable = True
    await world.start("US")
    await world.until_phase("US", Phase.STARTING)
    secrets = await sealed(world, "US", message_id)

    found = await order(world, "US", message_id)

    assert (found.row.state, found.row.ground) == (State.ERASED, Ground.ORDER)
    assert [places(world, "US", part) for part in secrets] == [[], []]
    assert not found.row.is_void
    world.reconnect("US")
    await world.until_phase("US", Phase.RUNNING)
    # Now that its place is known the log names it.
    (entry,) = await world.until(lambda: erased_entries(world, "US"), bool)
    found = await kept(world, "US", message_id)
    assert found.row.log_index is not None
    assert entry.size == found.row.log_index + 1
    await deliver(world)
    await world.settle()
    assert await void_entries(world) == []
    tracked = await world.node("US").tracking.status(world.principal("US"), message_id)
    assert [event.event for event in tracked.timeline] == [
        "accepted",
        "sent",
        "delivered",
        "received",
        "erased",
    ]
    await world.check()


@pytest.mark.parametrize("persisted", [None, False, True])
async def test_what_was_erased_in_doubt_and_never_sent_is_void_once_the_peer_has_answered(
    world: World, *, persisted: bool | None
) -> None:
    await deliver(world)
    await world.cut_off("US")
    message_id = await world.send("US")
    copy = world.backup("US")
    await order(world, "US", message_id)
    await world.restore("US", copy)
    await world.start("US")
    found = await until_erased(world, "US", message_id)
    assert not found.row.is_void
    if persisted is not None:
        # The write that settles it is the second of its kind at this start.
        world.break_write("US", Step.RECOVERED, persisted=persisted, skip=1)
    world.reconnect("US")
    if persisted is not None:
        await world.until_crashed("US")
        await world.restart("US")

    (void,) = await world.until(lambda: void_entries(world), bool)

    assert void.conversation_id == message_id
    assert (await kept(world, "US", message_id)).row.is_void
    await world.settle()
    assert len(await void_entries(world)) == 1
    await world.check()


async def test_a_message_that_comes_back_after_a_restore_is_erased_again(world: World) -> None:
    await deliver(world)
    copy = world.backup("FR")
    message_id = await deliver(world)
    await order(world, "FR", message_id)
    await world.settle()

    await world.restore("FR", copy)
    await world.start("FR")

    await world.until_phase("FR", Phase.RUNNING)
    await world.until_state("US", message_id, "received", "erased")

    async def arrived() -> bool:
        world.clock.advance(1.1)
        return message_id in await world.received("FR")

    await world.until(arrived, bool)
    assert (await until_erased(world, "FR", message_id)).row.ground is Ground.RESTORED


async def test_what_is_over_by_its_own_date_goes_before_a_restored_backup_shows_anything(
    world: World,
) -> None:
    message_id = await deliver(world, data_protection=PERSONAL)
    copy = world.backup("FR")
    world.clock.advance(LAST_DAY_OVER_S)
    await until_erased(world, "FR", message_id)
    await world.settle()

    await world.restore("FR", copy, marks=False)
    world.sides["FR"].faults.unreachable = True
    await world.start("FR")

    (delivery,) = await world.node("FR").inbox.page(world.principal("FR"))
    assert delivery.message is None
    world.reconnect("FR")
