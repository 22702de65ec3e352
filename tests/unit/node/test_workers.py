"""Threads for long work: one for each kind, and an end."""

from __future__ import annotations

import asyncio
import threading
from typing import NoReturn

import pytest

from gateway.errors import UnavailableError
from gateway.node.workers import Workers


async def test_signing_never_waits_behind_computing(workers: Workers) -> None:
    release = threading.Event()
    computing = asyncio.create_task(workers.compute(release.wait, 5))

    assert await asyncio.wait_for(workers.sign(lambda: 7), 20) == 7
    release.set()
    assert await computing is True


async def test_arguments_reach_the_work_and_its_result_comes_back(workers: Workers) -> None:
    def work(first: int, *, second: int) -> tuple[int, int, bool]:
        return first, second, threading.current_thread() is threading.main_thread()

    assert await workers.compute(work, 1, second=2) == (1, 2, False)
    assert await workers.sign(work, 3, second=4) == (3, 4, False)


async def test_an_error_reaches_the_caller(workers: Workers) -> None:
    def fail() -> NoReturn:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await workers.compute(fail)


async def test_what_was_begun_ends_before_the_threads_do() -> None:
    workers = Workers()
    release = threading.Event()
    computing = asyncio.create_task(workers.compute(release.wait, 5))
    await asyncio.sleep(0)

    release.set()
    workers.close()

    assert await computing is True


async def test_after_the_end_everybody_is_told_to_come_back_later() -> None:
    workers = Workers()
    workers.close()

    for call in (workers.sign, workers.compute):
        with pytest.raises(UnavailableError, match="stopping"):
            await call(lambda: None)
