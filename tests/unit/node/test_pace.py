"""The next bundle is made when it is time for it, sooner if it is urgent, later if much is in flight."""

from __future__ import annotations

import asyncio

import pytest

from gateway.node.pace import EXPECT_S, GATHER_S, Pace
from tests.world import WorldClock

PACE_MS = 10_000


@pytest.fixture
def clock() -> WorldClock:
    return WorldClock()


def make(clock: WorldClock) -> tuple[Pace, asyncio.Event]:
    """Return a pace that has just made a bundle, and the event that it sets when something is due."""
    due = asyncio.Event()
    pace = Pace(clock=clock, pace_ms=PACE_MS, on_due=due.set)
    pace.made()
    return pace, due


def never() -> bool:
    """Say that what waits does not fill the next bundle."""
    return False


async def rest() -> None:
    """Let everything go on that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_first_bundle_is_due_at_once(clock: WorldClock) -> None:
    pace = Pace(clock=clock, pace_ms=0, on_due=lambda: None)

    assert not await asyncio.wait_for(pace.until_due(lambda: 0, never), 20)


async def test_the_next_one_waits_longer_for_each_that_is_in_flight(clock: WorldClock) -> None:
    pace, _ = make(clock)
    waiting = asyncio.create_task(pace.until_due(lambda: 2, never))
    await rest()
    clock.advance(20)
    await rest()
    assert not waiting.done()
    clock.advance(11)

    assert not await asyncio.wait_for(waiting, 20)


async def test_the_next_one_does_not_wait_for_company_if_it_is_full_already(clock: WorldClock) -> None:
    pace, _ = make(clock)

    assert not await asyncio.wait_for(pace.until_due(lambda: 3, lambda: True), 20)


async def test_the_next_one_waits_no_longer_once_it_is_full(clock: WorldClock) -> None:
    pace, _ = make(clock)
    filled = False
    waiting = asyncio.create_task(pace.until_due(lambda: 3, lambda: filled))
    await rest()
    assert not waiting.done()
    filled = True
    pace.nudge()

    assert not await asyncio.wait_for(waiting, 20)


async def test_a_full_one_still_waits_for_what_is_expected(clock: WorldClock) -> None:
    pace, _ = make(clock)
    pace.expect()
    waiting = asyncio.create_task(pace.until_due(lambda: 0, lambda: True))
    await rest()
    assert not waiting.done()
    pace.hurry()

    assert await asyncio.wait_for(waiting, 20)


async def test_one_that_lands_shortens_the_wait(clock: WorldClock) -> None:
    pace, _ = make(clock)
    in_flight = [1, 1]
    waiting = asyncio.create_task(pace.until_due(lambda: len(in_flight), never))
    await rest()
    clock.advance(11)
    await rest()
    assert not waiting.done()
    in_flight.clear()
    pace.nudge()

    assert not await asyncio.wait_for(waiting, 20)


async def test_something_urgent_ends_the_wait_and_is_urgent_once(clock: WorldClock) -> None:
    pace, _ = make(clock)
    waiting = asyncio.create_task(pace.until_due(lambda: 3, never))
    await rest()
    pace.hurry()

    assert pace.is_urgent
    assert await asyncio.wait_for(waiting, 20)
    assert not pace.is_urgent


async def test_what_waits_for_company_is_due_after_a_while(clock: WorldClock) -> None:
    pace, due = make(clock)
    pace.later()
    pace.later()
    await rest()
    assert not due.is_set()
    clock.advance(GATHER_S)

    await asyncio.wait_for(due.wait(), 20)


async def test_what_waits_for_company_is_due_as_soon_as_any_of_it_is(clock: WorldClock) -> None:
    pace, due = make(clock)
    pace.later()
    await rest()
    pace.later(GATHER_S / 4)
    await rest()
    pace.later()
    pace.later(GATHER_S / 2)
    await rest()
    clock.advance(GATHER_S / 5)
    await rest()
    assert not due.is_set()
    clock.advance(GATHER_S / 5)

    await asyncio.wait_for(due.wait(), 20)


async def test_what_waits_for_company_goes_with_the_next_bundle(clock: WorldClock) -> None:
    pace, due = make(clock)
    pace.later()
    await rest()
    pace.making()
    clock.advance(10 * GATHER_S)
    await rest()

    assert not due.is_set()


async def test_what_is_not_urgent_waits_for_what_is_expected_and_travels_with_it(clock: WorldClock) -> None:
    pace, _ = make(clock)
    clock.advance(11)
    pace.expect()
    waiting = asyncio.create_task(pace.until_due(lambda: 0, never))
    await rest()
    assert not waiting.done()

    pace.hurry()

    assert await asyncio.wait_for(waiting, 20)
    assert not await asyncio.wait_for(pace.until_due(lambda: 0, never), 20), "it is expected no more"


async def test_but_not_for_long(clock: WorldClock) -> None:
    pace, _ = make(clock)
    clock.advance(11)
    pace.expect()
    waiting = asyncio.create_task(pace.until_due(lambda: 0, never))
    await rest()
    clock.advance(EXPECT_S)

    assert not await asyncio.wait_for(waiting, 20)
