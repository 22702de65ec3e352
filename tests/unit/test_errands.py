"""Errands: every caller gets an answer, and nothing is begun for nobody."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from functools import partial
from typing import NoReturn

import pytest

from gateway.errands import Threads


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    made = Threads("errand", count=1)
    yield made
    made.stop()


async def test_work_runs_in_a_thread_of_that_name_and_its_result_comes_back(threads: Threads) -> None:
    assert await threads.run(lambda: threading.current_thread().name) == "errand-0"


async def test_work_begins_in_the_order_of_the_calls(threads: Threads) -> None:
    order: list[int] = []

    await asyncio.gather(*[threads.submit(partial(order.append, number)) for number in range(9)])

    assert order == list(range(9))


async def test_an_error_reaches_the_caller_and_the_next_one_is_served(threads: Threads) -> None:
    def fail() -> NoReturn:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await threads.run(fail)
    assert await threads.run(lambda: 7) == 7


async def test_running_out_of_an_iterator_is_an_error_like_any_other(threads: Threads) -> None:
    with pytest.raises(RuntimeError, match="iterator"):
        await threads.run(lambda: next(iter(())))


async def test_work_that_nobody_waits_for_any_more_is_not_begun(threads: Threads) -> None:
    release, begun = threading.Event(), threading.Event()
    first = threads.submit(lambda: release.wait(10))
    given_up = threads.submit(begun.set)

    given_up.cancel()
    release.set()
    await first
    await threads.run(lambda: None)  # behind it in the queue

    assert not begun.is_set()


async def test_what_is_queued_ends_before_the_threads_do() -> None:
    threads = Threads("errand", count=2)
    answers = [threads.submit(lambda: 7) for _ in range(5)]

    threads.stop()

    assert await asyncio.gather(*answers) == [7] * 5


async def test_threads_that_nobody_needed_can_be_stopped() -> None:
    Threads("errand", count=2).stop()


async def test_a_thread_that_waits_holds_nothing_of_what_it_did(threads: Threads) -> None:
    class Bundle:
        pass

    bundle = Bundle()
    gone = weakref.ref(bundle)
    await threads.run(partial(id, bundle))
    del bundle
    # The thread lets go of it right behind its call of the loop.
    async with asyncio.timeout(20):
        while gone() is not None:
            gc.collect()
            await asyncio.sleep(0.01)


def test_a_loop_that_is_gone_harms_no_thread() -> None:
    threads = Threads("errand", count=1)
    release = threading.Event()
    answers: list[asyncio.Future[bool]] = []

    async def leave() -> None:
        answers.append(threads.submit(lambda: release.wait(10)))

    asyncio.run(leave())
    release.set()

    assert asyncio.run(threads.run(lambda: 7)) == 7
    threads.stop()
