"""Threads for work that would hold up the loop: signatures, and large validations.

Two kinds of work with threads of their own. Signatures, their verification and key boxes
let go of the interpreter lock and are short: `sign`, two at a time, so that a receipt is not
signed behind the cosignature of what it answers. Validating and opening many messages holds
the lock and is long: `compute`, in one thread. In one pool the short would wait behind the
long, and two threads of the long kind would only take the lock from each other.

One hop a bundle or a batch, never one a message: a hop costs as much as validating a
message. It is one queue there and one call of the loop back; the futures of an executor would
be a second pair of locks, and a turn of the loop more.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from gateway.errors import UnavailableError

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """Three threads with an owner."""

    def __init__(self) -> None:
        """Make room for them; they start when they are first needed."""
        self._signing = _Threads("signing", count=2)
        self._computing = _Threads("computing", count=1)
        self._open = True

    async def sign(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a signature or its verification and return the result.

        Raises:
            UnavailableError: The node is stopping; what still runs is let go.
        """
        return await self._run(self._signing, lambda: work(*args, **kwargs))

    async def compute(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run validation or opening of many messages and return the result.

        Raises:
            UnavailableError: The node is stopping; what still runs is let go.
        """
        return await self._run(self._computing, lambda: work(*args, **kwargs))

    async def _run(self, threads: _Threads, work: Callable[[], T]) -> T:
        if not self._open:
            msg = "this node is stopping"
            raise UnavailableError(msg)
        loop = asyncio.get_running_loop()
        job = _Job(work=work, loop=loop, answer=loop.create_future())
        threads.put(job)
        result: T = await job.answer
        return result

    def close(self) -> None:
        """Let running work end and stop the threads."""
        self._open = False
        self._signing.stop()
        self._computing.stop()


@dataclass(slots=True, kw_only=True, eq=False)
class _Job:
    """Work on its way through a thread; the future is touched in its loop only."""

    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    value: Any = None
    error: BaseException | None = None

    def run(self) -> None:
        """Do it and tell the loop. Whoever has stopped waiting before it began needs no result."""
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
        if self.answer.done():
            return
        if self.error is None:
            self.answer.set_result(self.value)
        elif isinstance(self.error, StopIteration):
            # A future refuses this one, and its caller would wait for ever.
            error = RuntimeError("the work ran out of an iterator")
            error.__cause__ = self.error
            self.answer.set_exception(error)
        else:
            self.answer.set_exception(self.error)


class _Threads:
    """Threads that share one queue."""

    def __init__(self, name: str, *, count: int) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # Daemons: a process that is told to die does not wait for a signature.
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]
        self._started = False

    def put(self, job: _Job) -> None:
        """Queue work. Called in the event loop only."""
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()
        self._jobs.put(job)

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
