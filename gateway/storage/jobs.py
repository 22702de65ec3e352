"""Work that threads do for an event loop, or for another thread.

A job is a closure with the future of its caller, or with the event that a thread waits for.
Answers go back with one call a loop and group, however many jobs it had: waking a loop costs
more than a row of a table.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gateway.ports import Step, Transaction


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """A closure on its way through a thread. Without ``answer`` and ``done`` nobody waits for it.

    Attributes:
        step: What a write makes durable; None for a read.
        work: The closure.
        answer: Future of a caller in a loop; touched in that loop only.
        done: What a caller in a thread waits for.
        linger_s: Seconds that a write may wait for company.
        value: Result, once the closure has returned.
        error: What it raised, or why the result is void.
    """

    step: Step | None
    work: Callable[[Transaction], Any]
    answer: asyncio.Future[Any] | None = None
    done: threading.Event | None = None
    linger_s: float = 0.0
    value: Any = None
    error: BaseException | None = None

    @property
    def is_awaited(self) -> bool:
        """Return whether somebody hears of its outcome."""
        return self.answer is not None or self.done is not None


def deliver(jobs: Iterable[Job]) -> None:
    """Give every job's outcome to its caller, from any thread."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[tuple[Job, asyncio.Future[Any]]]] = defaultdict(list)
    for job in jobs:
        if job.answer is not None:
            by_loop[job.answer.get_loop()].append((job, job.answer))
        elif job.done is not None:
            job.done.set()
    for loop, own in by_loop.items():
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, own)


def _resolve(jobs: list[tuple[Job, asyncio.Future[Any]]]) -> None:
    for job, answer in jobs:
        if answer.done():
            continue
        if job.error is None:
            answer.set_result(job.value)
        elif isinstance(job.error, StopIteration):
            # A future refuses this one; unhandled it would leave the others without answer.
            error = RuntimeError("a closure ran out of an iterator")
            error.__cause__ = job.error
            answer.set_exception(error)
        else:
            answer.set_exception(job.error)
