"""What a peer merely says of generations and of a frozen pair stops no node and uses nothing up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.core.generation import MAX_GENERATION
from gateway.errors import PairFrozenError
from gateway.node.health import Phase
from gateway.node.recovery import GenerationBehindError, NothingToOverrideError
from gateway.node.resumption import BY_PEER, MOST_AHEAD, RESUMES
from gateway.ports import Transaction
from tests.fault.test_recovery import deliver, is_whole, stopped_with
from tests.fault.test_resumption import OPERATOR, fork, resume, until_generation
from tests.world import World


@pytest.fixture
async def frozen(world: World) -> World:
    await fork(world)
    return world


def claim(world: World, nation: str, **changes: Any) -> None:
    """Let the peer of a nation change what it says of its standing."""

    def alter(question: str, answer: Any) -> Any:
        return replace(answer, **changes) if question == "standing" else answer

    world.sides[nation].faults.alter_answer = alter


async def waits_for_peer(world: World, nation: str, code: str) -> None:
    async def trouble() -> tuple[str, Phase]:
        node = world.node(nation)
        return node._recovery._patience.trouble, node.phase

    await world.until(trouble, lambda found: found == (code, Phase.STARTING))


async def resumes(world: World, nation: str) -> int:
    store = world.sides[nation].store
    assert store is not None

    def load(tx: Transaction) -> int:
        return int(tx.facts.get(RESUMES) or 0)

    return await store.read(load)


# --- a later generation at the start -------------------------------------------------------


@pytest.mark.parametrize("generation", [2, MAX_GENERATION])
async def test_a_number_alone_stops_no_node_and_keeps_no_agency_out(world: World, generation: int) -> None:
    await deliver(world, "US")
    claim(world, "FR", generation=generation)

    await world.restart("FR")
    await waits_for_peer(world, "FR", "signature-invalid")
    message_id = await world.send("FR")

    world.sides["FR"].faults.alter_answer = None
    await world.until_state("FR", message_id, "received")
    await is_whole(world)


async def test_a_note_of_ours_in_the_later_generation_stops_a_node_that_forgot_everything(
    frozen: World,
) -> None:
    copy = frozen.backup("US")
    for nation in ("FR", "US"):
        await resume(frozen, nation)
    await until_generation(frozen, 2)
    await deliver(frozen, "US")
    await frozen.cosigned("US")
    await frozen.restore("US", copy, marks=False)

    await frozen.start("US")

    assert isinstance(await stopped_with(frozen, "US"), GenerationBehindError)


async def test_marks_of_a_later_generation_stop_a_node_whatever_its_peer_says(frozen: World) -> None:
    copy = frozen.backup("US")
    for nation in ("FR", "US"):
        await resume(frozen, nation)
    await until_generation(frozen, 2)
    await deliver(frozen, "US")
    await frozen.restore("US", copy)
    claim(frozen, "US", generation=1)

    await frozen.start("US")

    assert isinstance(await stopped_with(frozen, "US"), GenerationBehindError)


async def test_marks_of_a_later_generation_cannot_be_overridden(frozen: World) -> None:
    copy = frozen.backup("FR")
    for nation in ("FR", "US"):
        await resume(frozen, nation)
    await until_generation(frozen, 2)
    await deliver(frozen, "US")
    await frozen.restore("FR", copy)
    frozen.sides["FR"].faults.unreachable = True
    await frozen.start("FR")

    async def refused() -> bool:
        try:
            await frozen.node("FR").recovery.override(OPERATOR, "It will be all right")
        except NothingToOverrideError:
            return False
        except GenerationBehindError:
            return True
        raise AssertionError

    await frozen.until(refused, bool)


async def test_operators_resume_a_pair_whose_later_generation_nobody_can_show(world: World) -> None:
    """The French node has opened it and was restored, with its marks, before it shipped anything in it."""
    await deliver(world, "US")
    copy = world.backup("FR")
    await fork(world)
    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 2)
    await world.restore("FR", copy, marks=False)

    def forget(question: str, answer: Any) -> Any:
        is_behind = question == "view" and world.node("FR").pair.generation == 1
        return replace(answer, mirrored=None, mirrored_size=0) if is_behind else answer

    world.sides["FR"].faults.alter_answer = forget
    await world.start("FR")
    await waits_for_peer(world, "FR", "signature-invalid")

    for nation in ("FR", "US"):
        await resume(world, nation)
    await until_generation(world, 3)
    await deliver(world, "US")


# --- numbers while a pair is resumed -------------------------------------------------------


@pytest.mark.parametrize("field", ["generation", "resumes"])
async def test_a_leap_of_the_peer_is_not_followed_and_said_once(frozen: World, field: str) -> None:
    claim(frozen, "FR", **{field: 1 + MOST_AHEAD + 1})

    with capture_logs() as logs:
        await resume(frozen, "FR")
        asked = frozen.sides["FR"].faults.asked
        before = asked.count("standing")

        async def polled() -> int:
            frozen.clock.advance(2.1)
            return asked.count("standing") - before

        await frozen.until(polled, lambda count: count > 3)

    assert await resumes(frozen, "FR") == 2
    assert frozen.node("FR").pair.generation == 1
    assert (await frozen.node("FR").resumption.state()).leaps
    assert [item["event"] for item in logs].count("pair.leap_refused") == 1
    # A peer that comes to its senses finds the pair as it was.
    frozen.sides["FR"].faults.alter_answer = None
    await resume(frozen, "US")
    await until_generation(frozen, 2)
    await is_whole(frozen)


async def test_a_peer_that_was_resumed_several_times_since_is_followed(frozen: World) -> None:
    claim(frozen, "FR", resumes=1 + MOST_AHEAD)

    await resume(frozen, "FR")

    async def reached() -> int:
        # Signed off for it, or, if the node was quick, there already.
        return max(await resumes(frozen, "FR"), frozen.node("FR").pair.generation)

    assert await frozen.until(reached, lambda number: number > 1) == 1 + MOST_AHEAD
    assert not (await frozen.node("FR").resumption.state()).leaps


# --- a pair that the peer merely calls frozen ----------------------------------------------


async def test_a_pair_that_the_peer_calls_frozen_is_told_as_that_and_heals_by_its_word(world: World) -> None:
    await deliver(world, "US")
    faults = world.sides["US"].faults
    faults.refuse = lambda _: PairFrozenError("so the peer says")
    message_id = await world.send("US")

    async def troubles() -> tuple[str, ...]:
        return (await world.node("US").health()).troubles

    assert await world.until(troubles, bool) == ("peer-frozen",)
    node = world.node("US")
    assert node.phase is Phase.RUNNING
    item = await node.queue.find(message_id)
    assert item is not None
    assert item.cause == "peer-frozen"
    state = await node.resumption.state()
    assert (state.frozen, state.forks) == (BY_PEER, ())
    # What the peer sends is taken all the same, and an operator may have it tried again.
    sent = await world.send("FR")
    await world.until(lambda: world.received("US"), lambda ids: sent in ids)
    await node.queue.retry(OPERATOR, "The peer's operators found nothing")

    faults.refuse = None
    await world.until_state("US", message_id, "received")
    assert await troubles() == ()
