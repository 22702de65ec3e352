"""Threads for work that would hold up the loop: signatures, and large validations.

Two kinds of work with threads of their own. Signatures, their verification and key boxes
let go of the interpreter lock and are short: `sign`, three at a time, so that a receipt is not
signed behind the cosignature of what it answers, nor a bundle verified behind the two. What is
signed is marked and handed to the store there as well: nothing has to be decided in between.
Validating and opening many messages holds the lock and is long: `compute`, in one thread. In one
pool the short would wait behind the long, and two threads of the long kind would only take the
lock from each other.

One hop a bundle or a batch, never one a message: a hop costs as much as validating a
message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from gateway.errands import Threads
from gateway.errors import UnavailableError

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """Four threads with an owner."""

    def __init__(self) -> None:
        """Make room for them; they start when they are first needed."""
        self._signing = Threads("signing", count=3)
        self._computing = Threads("computing", count=1)
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

    async def _run(self, threads: Threads, work: Callable[[], T]) -> T:
        if not self._open:
            msg = "this node is stopping"
            raise UnavailableError(msg)
        return await threads.run(work)

    def close(self) -> None:
        """Let running work end and stop the threads."""
        self._open = False
        self._signing.stop()
        self._computing.stop()
