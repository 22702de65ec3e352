"""The courier asks a peer that is away, waits, and goes on when it is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import gateway.node.holding
from gateway.core.bundle import decode_bundle
from gateway.core.states import Precedence
from gateway.errors import PeerError, UnavailableError
from gateway.node.courier import CourierConfig
from gateway.node.health import Phase
from gateway.node.patience import BREAKER_FAILURES, Breaker
from tests.couriers import health, post_many, posted
from tests.messages import INVESTIGATORS
from tests.world import World


async def test_the_breaker_opens_after_failures_in_a_row_and_closes_with_the_first_bundle(
    world: World,
) -> None:
    await world.settle()
    seen: list[Breaker] = []

    def note(question: str) -> UnavailableError:
        if question == "view":
            seen.append(world.node("US")._courier.breaker)
        return UnavailableError("gone")

    world.sides["US"].faults.refuse_question = note
    # A courier that has nothing to do asks once a minute.
    world.clock.advance(61)
    await world.until(_length(seen), lambda found: found > BREAKER_FAILURES)
    assert seen[: BREAKER_FAILURES + 1] == [Breaker.CLOSED] * BREAKER_FAILURES + [Breaker.OPEN]

    before = await posted(world, "US")
    message_id = await world.send("US")
    await asyncio.sleep(0.3)
    assert await posted(world, "US") == before, "an open breaker asks, it does not send"
    assert await world.state("US", message_id) == "accepted"

    world.sides["US"].faults.refuse_question = None
    await world.until_state("US", message_id, "received")
    # The receipt may come before the answer to the bundle that it is for.
    found = await world.until(lambda: health(world, "US"), lambda found: found.reachable)
    assert found.peer is Breaker.CLOSED


async def test_a_peer_that_answers_questions_and_refuses_bundles_is_not_tried_without_a_pause(
    world: World,
) -> None:
    await world.settle()
    times: list[float] = []

    def refuse(_: bytes) -> PeerError:
        times.append(time.monotonic())
        return PeerError("refused")

    world.sides["US"].faults.refuse = refuse
    await world.send("US")
    await world.until(_length(times), lambda found: found > BREAKER_FAILURES + 3)

    # The longest wait of these tests, with the jitter that they have.
    assert min(_gaps(times[BREAKER_FAILURES:])) >= 0.2 * (0.25 + 0.75 * 0.5) * 0.99


async def test_two_nodes_that_refuse_each_other_do_not_spur_each_other_on(world: World) -> None:
    await world.settle()
    times: dict[str, list[float]] = {"FR": [], "US": []}
    for nation, seen in times.items():

        def note(question: str, seen: list[float] = seen) -> None:
            if question == "view":
                seen.append(time.monotonic())

        world.sides[nation].faults.refuse = lambda _: PeerError("refused")
        world.sides[nation].faults.refuse_question = note
        await world.send(nation)
    for seen in times.values():
        await world.until(_length(seen), lambda found: found > BREAKER_FAILURES + 3)

    for seen in times.values():
        assert min(_gaps(seen[BREAKER_FAILURES:])) >= 0.2 * (0.25 + 0.75 * 0.5) * 0.99


@pytest.mark.parametrize("jitter", [0.0, 0.999])
async def test_waits_double_up_to_a_bound_and_are_spread_by_jitter(world: World, jitter: float) -> None:
    await world.settle()
    world.entropy.jitter = jitter
    times: list[float] = []

    def note(question: str) -> UnavailableError:
        if question == "view":
            times.append(time.monotonic())
        return UnavailableError("gone")

    world.sides["US"].faults.refuse_question = note
    world.sides["US"].faults.refuse = lambda _: UnavailableError("gone")
    await world.send("US")
    await world.until(_length(times), lambda found: found > BREAKER_FAILURES + 2)

    first, longest, spread = 0.02, 0.2, 0.25 + 0.75 * jitter
    gaps = _gaps(times)
    # The first question follows a refused bundle: that was the first failure.
    for failures, gap in enumerate(gaps, start=2):
        assert gap >= min(first * 2 ** (failures - 1), longest) * spread * 0.99
    if jitter == 0.0:
        assert min(gaps[-3:]) < longest * 0.9


def _gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


def _length(items: Sequence[object]) -> Any:
    async def ask() -> int:
        return len(items)

    return ask


async def test_a_call_of_the_peer_ends_a_long_wait(tmp_path: Path) -> None:
    config = CourierConfig(pace_ms=0, first_wait_s=600.0, longest_wait_s=600.0)
    async with World(tmp_path, config=config) as world:
        # Nodes that start together miss each other at first, and would now wait for minutes.
        await _advance_until_running(world)
        await world.cut_off("US")

        await _open_breaker(world)
        (message_id,) = await post_many(world, "US", 1)
        world.reconnect("US")

        await world.node("US").peer_service.view()
        world.clock.advance(1.5)

        await world.until_state("US", message_id, "sent", "delivered", "received", agency=INVESTIGATORS["US"])


async def test_a_call_of_the_peer_ends_also_the_wait_of_a_node_that_cannot_start_without_it(
    tmp_path: Path,
) -> None:
    config = CourierConfig(pace_ms=0, first_wait_s=600.0, longest_wait_s=600.0)
    async with World(tmp_path, config=config) as world:
        await _advance_until_running(world)
        await world.stop("FR")
        await world.restart("US")
        await world.until_phase("US", Phase.STARTING)
        await world.until(_length(world.sides["US"].faults.asked), lambda found: found > 0)

        await world.start("FR")

        await world.until_phase("US", Phase.RUNNING)


async def test_a_bundle_that_comes_while_its_receiver_starts_is_held_and_not_refused(world: World) -> None:
    await world.settle()
    intake = world.node("FR")._intake
    intake.suspend()
    before = await posted(world, "US")
    message_id = await world.send("US")
    await world.until(lambda: posted(world, "US"), lambda found: found > before)
    await asyncio.sleep(0.2)
    assert await world.state("US", message_id) == "sent"

    intake.admit()

    await world.until_state("US", message_id, "received")
    assert [decode_bundle(data).start for data in world.sides["US"].faults.posted[before:]] == sorted(
        {decode_bundle(data).start for data in world.sides["US"].faults.posted[before:]}
    ), "nothing was sent twice"


async def test_a_receiver_that_does_not_get_ready_refuses_what_it_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.settle()
    monkeypatch.setattr(gateway.node.holding, "HOLD_S", 0.05)
    world.node("FR")._intake.suspend()
    await world.send("US")

    async def trouble() -> str:
        return world.node("US")._courier.trouble

    assert await world.until(trouble, bool) == UnavailableError.code


async def test_a_returned_peer_that_is_still_starting_is_asked_again_within_seconds(tmp_path: Path) -> None:
    config = CourierConfig(pace_ms=0, first_wait_s=600.0, longest_wait_s=600.0)
    async with World(tmp_path, config=config) as world:
        await _advance_until_running(world)
        for nation in ("FR", "US"):
            world.sides[nation].faults.refuse_question = lambda _: UnavailableError(
                "starting", retry_after_s=2
            )
        await _open_breaker(world)
        (message_id,) = await post_many(world, "US", 1)

        # It calls, is asked too early, and does not call again.
        await world.node("US").peer_service.view()
        await _advance_until_asked(world, seconds=1.5)
        world.sides["US"].faults.refuse_question = None
        await _advance_until_asked(world, seconds=4.0)

        await world.until_state("US", message_id, "sent", "delivered", "received", agency=INVESTIGATORS["US"])


async def test_something_urgent_has_the_peer_asked_often_however_long_the_wait(tmp_path: Path) -> None:
    config = CourierConfig(pace_ms=0, first_wait_s=600.0, longest_wait_s=600.0)
    async with World(tmp_path, config=config) as world:
        await _advance_until_running(world)
        await world.cut_off("US")
        await _open_breaker(world)
        (routine,) = await post_many(world, "US", 1)
        before = _views(world, "US")
        world.clock.advance(20)
        await asyncio.sleep(0.1)
        assert _views(world, "US") == before, "what is not urgent waits as long as it takes"

        flash = await world.send("US", precedence="FLASH")
        for _ in range(3):
            await _advance_until_asked(world, seconds=1.5)
        world.reconnect("US")
        await _advance_until_asked(world, seconds=1.5)

        for message_id, agency in ((flash, None), (routine, INVESTIGATORS["US"])):
            await world.until_state("US", message_id, "sent", "delivered", "received", agency=agency)


async def _open_breaker(world: World) -> None:
    """Have the American node try in vain until it only asks, and wait for minutes."""

    async def later() -> Breaker:
        world.clock.advance(601)
        await asyncio.sleep(0.02)
        return (await health(world, "US")).peer

    await world.until(later, lambda breaker: breaker is Breaker.OPEN)


def _views(world: World, nation: str) -> int:
    """Return how often a node has asked what its peer holds."""
    return world.sides[nation].faults.asked.count("view")


async def _advance_until_asked(world: World, *, seconds: float) -> None:
    """Let seconds pass, and wait until the American node has asked its peer once more."""
    before = _views(world, "US")
    world.clock.advance(seconds)

    async def views() -> int:
        return _views(world, "US")

    await world.until(views, lambda found: found > before)


async def _advance_until_running(world: World) -> None:
    async def ask() -> bool:
        world.clock.advance(601)
        await asyncio.sleep(0.02)
        return not (await world._unsettled())[0]

    await world.until(ask, lambda settled: settled)


async def test_what_is_urgent_has_right_of_way_until_it_has_left_and_for_a_moment_at_most(
    world: World,
) -> None:
    await world.settle()
    due = world.node("US")._courier.due

    due.notify(Precedence.FLASH)  # and nothing is due
    async with asyncio.timeout(20):
        await due.urgent_left()

    flash = await world.send("US", precedence="FLASH")
    await world.until_state("US", flash, "received")
    assert due._urgent_left.is_set()
    # So has the receipt, which is as urgent as what it answers.
    assert world.node("FR")._courier.due._urgent_left.is_set()
