"""Errands: work that threads do for an event loop, with little around it.

An errand is one queue there and one call of the loop back. An executor makes two futures of
each, with a lock and a condition, chains them and wakes the loop twice: a third of what a short
errand costs, and a bundle has half a dozen at each node.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """Threads that share one queue. All calls are of one event loop's thread."""

    def __init__(self, name: str, *, count: int) -> None:
        """Make room for them; they start when they are first needed.

        Args:
            name: What they are called, with a number.
            count: How many.
        """
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # Daemons: a process that is told to die does not wait for a signature.
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]
        self._started = False

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread and return its result.

        Nothing begins for a caller that has stopped waiting by then; what has begun ends all the same.
        """
        return await self.submit(work)

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Let ``work`` run in a thread and return the future of its result."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()
        self._jobs.put(_Job(work=work, loop=loop, answer=answer))
        return answer

    def stop(self) -> None:
        """Finish what is queued. Blocks."""
        if self._started:
            for _ in self._threads:
                self._jobs.put(None)
            for thread in self._threads:
                thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()
            del job  # and with it a bundle, perhaps, that nothing else holds while the thread waits


@dataclass(slots=True, kw_only=True, eq=False)
class _Job:
    """Work on its way through a thread; the future is touched in its loop only."""

    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    value: Any = None
    error: BaseException | None = None

    def run(self) -> None:
        if self.answer.cancelled():
            return
        try:
            self.value = self.work()
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller
            self.error = error
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        # Let go of both: an error holds the frame of `run`, and that frame this job. Held from here as
        # well, it would stay until the collector looks, and with it the bundle that was refused.
        answer, error = self.answer, self.error
        del self.answer, self.error
        if answer.done():
            return
        if error is None:
            answer.set_result(self.value)
        elif isinstance(error, StopIteration):
            # A future refuses this one, and its caller would wait for ever.
            other = RuntimeError("the work ran out of an iterator")
            other.__cause__ = error
            answer.set_exception(other)
        else:
            answer.set_exception(error)
