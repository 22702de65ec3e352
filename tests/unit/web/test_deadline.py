"""One timer for the deadlines of many requests."""

from __future__ import annotations

import asyncio

import pytest

from gateway.web.deadline import Deadline

LONG_S = 3_600.0
PATIENCE_S = 30.0


async def test_what_takes_too_long_ends_in_a_timeout() -> None:
    deadline = Deadline(asyncio.get_running_loop())

    with pytest.raises(TimeoutError), deadline.of(0.01):
        await asyncio.sleep(LONG_S)

    assert deadline.expired
    # The cancellation was the deadline's and is over: the task goes on.
    await asyncio.sleep(0)
    deadline.close()


async def test_what_is_done_in_time_is_left_alone() -> None:
    deadline = Deadline(asyncio.get_running_loop())

    with deadline.of(0.01):
        pass
    # The timer of the first rings while the second is in work, which has more time.
    with deadline.of(LONG_S):
        await asyncio.sleep(0.05)

    assert not deadline.expired
    deadline.close()


async def test_a_shorter_deadline_counts_behind_a_longer_one() -> None:
    deadline = Deadline(asyncio.get_running_loop())
    with deadline.of(LONG_S):
        pass

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(TimeoutError), deadline.of(0.01):
            await asyncio.sleep(LONG_S)

    assert deadline.expired
    deadline.close()


async def test_a_shorter_deadline_counts_behind_one_that_is_nearly_over() -> None:
    deadline = Deadline(asyncio.get_running_loop())
    # The loop of a node has no timers for less than half a millisecond.
    with deadline.of(0.0004):
        pass

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(TimeoutError), deadline.of(0.0001):
            await asyncio.sleep(LONG_S)

    deadline.close()


async def test_a_deadline_counts_again_when_its_timer_rang_for_an_earlier_one() -> None:
    deadline = Deadline(asyncio.get_running_loop())
    with deadline.of(0.01):
        pass

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(TimeoutError), deadline.of(0.1):
            await asyncio.sleep(LONG_S)

    assert deadline.expired
    deadline.close()


async def test_a_timer_that_rings_for_nobody_harms_nobody() -> None:
    deadline = Deadline(asyncio.get_running_loop())
    with deadline.of(0.01):
        pass

    await asyncio.sleep(0.05)
    with deadline.of(LONG_S):
        await asyncio.sleep(0)

    assert not deadline.expired
    deadline.close()


async def test_a_timeout_of_something_inside_stays_its_own() -> None:
    deadline = Deadline(asyncio.get_running_loop())

    msg = "its own"
    with pytest.raises(TimeoutError, match=msg), deadline.of(LONG_S):
        raise TimeoutError(msg)

    assert not deadline.expired
    deadline.close()


async def test_whoever_is_cancelled_from_outside_is_cancelled() -> None:
    deadline = Deadline(asyncio.get_running_loop())
    began = asyncio.Event()

    async def wait() -> None:
        with deadline.of(LONG_S):
            began.set()
            await asyncio.sleep(LONG_S)

    task = asyncio.create_task(wait())
    await began.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert not deadline.expired
    deadline.close()


async def test_whoever_is_cancelled_from_outside_as_well_is_cancelled() -> None:
    deadline = Deadline(asyncio.get_running_loop())
    cancelled_by_deadline = asyncio.Event()

    async def wait() -> None:
        with deadline.of(0.01):
            try:
                await asyncio.sleep(LONG_S)
            finally:
                cancelled_by_deadline.set()
                await asyncio.sleep(LONG_S)

    task = asyncio.create_task(wait())
    await cancelled_by_deadline.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    deadline.close()
