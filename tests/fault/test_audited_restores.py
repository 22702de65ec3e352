"""Auditors find nothing wrong with what an honest node does before, at and after a restore."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gateway.errors import UnavailableError
from gateway.node import recovery
from gateway.node.health import Phase
from gateway.node.recovery import UnprovenHistoryError
from gateway.ports import Step
from tests.fault.test_honest_histories import History, signed, verified_alone, verified_side_by_side
from tests.fault.test_recovery import collect, deliver, head, stopped_with
from tests.fault.test_resumption import fork, resume, until_generation
from tests.fault.test_sent_anew import give_up
from tests.fault.test_succession import head_of, origin_of_audit, until_cosigned
from tests.world import World


async def judged(world: World, folder: Path) -> list[str]:
    """Return what auditors have against the two nations' logs."""
    await world.settle()
    await world.cosigned("FR", "US")
    await signed(world)
    await world.settle()
    history = History(world=world, chance=random.Random(0))  # noqa: S311 - nothing is drawn
    folders = await history.export(folder)
    return verified_alone(world, folders) + verified_side_by_side(world, folders)


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("skip", range(5))
async def test_a_crash_at_any_page_of_a_refill_is_told_from_its_first_entry(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, skip: int, persisted: bool
) -> None:
    """Without high-water marks nothing else tells from where on the node says everything once more."""
    monkeypatch.setattr(recovery, "PAGE", 3)
    await deliver(world, "US")
    await deliver(world, "FR")
    copy = world.backup("US")
    for _ in range(3):
        await collect(world, "US", *(await deliver(world, "FR")))
        await deliver(world, "US", 2)
    await signed(world)
    await world.settle()
    await world.restore("US", copy, marks=False)
    world.break_write("US", Step.RECOVERED, persisted=persisted, skip=skip)
    await world.start("US")
    await world.until_crashed("US")

    await world.restart("US")
    await world.until_phase("US", Phase.RUNNING)
    await deliver(world, "US")
    await deliver(world, "FR")

    assert await judged(world, tmp_path) == []


async def test_an_event_that_was_lost_where_nobody_knew_of_it_is_held_against_nobody(
    world: World, tmp_path: Path
) -> None:
    """The incident comes back with the log. Its event was signed, and no mark and no peer knows that."""
    await deliver(world, "US")
    await deliver(world, "FR")
    origin = origin_of_audit(world)
    await until_cosigned(world, origin, (await head(world, "US", origin)).size)
    await world.settle()
    first, copy = world.backup("FR"), world.backup("US")
    await deliver(world, "US")
    await world.restore("FR", first)
    await world.start("FR")
    await world.until_phase("FR", Phase.RUNNING)
    await deliver(world, "US")
    assert [event.event for event in await world.events("US")].count("peer.rolled_back") == 1
    await world.restore("US", copy, marks=False)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)
    await deliver(world, "US")

    assert await judged(world, tmp_path) == []
    assert await head_of(world, f"{origin}/2") is None


async def lose_for_good(world: World) -> None:
    """Lose what the American node had signed and nobody else holds, and let both nations go on without it."""
    await deliver(world, "US")
    copy = world.backup("US")
    await deliver(world, "US", 2)
    await deliver(world, "FR", 2)
    await world.settle()
    await signed(world)
    # What follows is signed and nowhere else.
    lost: list[bytes] = []

    def refuse(bundle: bytes) -> UnavailableError:
        lost.append(bundle)
        return UnavailableError("one-way")

    async def are_lost() -> bool:
        return bool(lost)

    world.sides["US"].faults.refuse = refuse
    await world.send("US")
    await world.until(are_lost, bool)
    await world.restore("US", copy)
    world.sides["US"].faults.refuse = None
    await world.start("US")
    assert isinstance(await stopped_with(world, "US"), UnprovenHistoryError)
    await give_up(world)
    await world.start("US")
    await world.until_phase("US", Phase.FROZEN)
    await resume(world, "FR")
    await until_generation(world, 2)
    await deliver(world, "US")


async def test_a_generation_that_was_given_up_accuses_nobody_of_more_than_the_loss(
    world: World, tmp_path: Path
) -> None:
    await lose_for_good(world)

    assert await judged(world, tmp_path) == []


async def test_a_fork_that_was_proven_is_told_where_the_next_generation_opens(
    world: World, tmp_path: Path
) -> None:
    await deliver(world, "US")
    await fork(world)
    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)
    await deliver(world, "US")
    assert await judged(world, tmp_path) == []
