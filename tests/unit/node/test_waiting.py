"""Waiting for an event or a time, whichever comes first, and leaving nothing behind."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.node.waiting import wait_for
from gateway.ports import Clock
from gateway.system import SystemClock
from tests.world import WorldClock


@pytest.fixture(params=[SystemClock, WorldClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_no_time_is_no_wait(clock: Clock, seconds: float) -> None:
    await asyncio.wait_for(wait_for(clock, seconds, asyncio.Event()), 20)


async def test_an_event_that_is_set_already_is_no_wait(clock: Clock) -> None:
    event = asyncio.Event()
    event.set()

    await asyncio.wait_for(wait_for(clock, 1_000, event), 20)


async def test_an_event_ends_the_wait_early(clock: Clock) -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, event.set)

    await asyncio.wait_for(wait_for(clock, 1_000, event), 20)


async def test_the_time_ends_the_wait_without_an_event(clock: Clock) -> None:
    began = time.monotonic()
    await wait_for(clock, 0.02)
    await wait_for(clock, 0.02, asyncio.Event())

    # The loop of a node counts whole milliseconds, from the beginning of a turn.
    assert time.monotonic() - began >= 0.03


async def test_a_wait_that_is_cancelled_leaves_no_task_behind(clock: Clock) -> None:
    before = asyncio.all_tasks()
    waiting = asyncio.create_task(wait_for(clock, 1_000, asyncio.Event()))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert asyncio.all_tasks() == before
