"""Threads for work that would hold up the loop: signatures, key boxes, large validations.

Two threads, because signatures and the P-384 half of the key box release the interpreter
lock and nothing else gains from more. One hop a bundle or a batch, never one a message:
a hop costs as much as validating a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from gateway.errors import UnavailableError

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """A small pool of threads with an owner."""

    def __init__(self, threads: int = 2) -> None:
        """Create the pool; threads start when they are first needed."""
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="worker")
        self._open = True

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in a thread and return its result.

        Raises:
            UnavailableError: The node is stopping; what still runs is let go.
        """
        if not self._open:
            msg = "this node is stopping"
            raise UnavailableError(msg)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Let running work end and stop the threads."""
        self._open = False
        self._pool.shutdown(wait=True)
