"""The line in which posts wait for the transaction that decides about them.

Whatever arrives while one transaction commits goes into the next one. Messages that came alone
need not be examined before that: they pass the first stage of admission together, when their
group is formed or when enough of them have gathered. Step after step they take a third less time
than one by one (`gateway.node.steps`), and a caller is woken once, with the outcome.

Spec: docs/spec/exchange.md, "Admission".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from gateway.node.posts import Candidate, Posted

Told = TypeVar("Told")
"""What a caller is told in the end."""

MAX_GROUP: Final = 128
"""Messages decided in one transaction; more would make the first of them wait, and the
courier's short writes behind them."""

GATHERED: Final = 64
GATHERED_BYTES: Final = 131_072
"""Messages that came alone, and bytes of them, that are examined without waiting for a transaction to
begin: the loop does nothing else meanwhile, some 6 ms."""


class NoCandidateError(Exception):
    """The first stage ended otherwise: the post is refused, or another message has to complete it."""


class Line(Generic[Told]):
    """Posts in the order in which they are decided about, each with the future of its caller."""

    def __init__(self, examine: Callable[[Sequence[Posted]], None]) -> None:
        """Begin empty; ``examine`` takes small posts through the first stage, right where it is called."""
        self._examine = examine
        self._waiting: list[tuple[Posted, asyncio.Future[Told]]] = []
        # Those of them that nobody has looked at yet.
        self._new: list[Posted] = []
        self._new_bytes = 0
        self._filled = asyncio.Event()

    def add(self, post: Posted) -> asyncio.Future[Told]:
        """Have a post that was examined decided about with the next group."""
        decided: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting.append((post, decided))
        self._filled.set()
        return decided

    async def add_new(self, post: Posted) -> Told:
        """Have a small post examined with others, and return what is decided about it.

        Raises:
            NoCandidateError: Nothing is, yet; the post says why.
        """
        self._new.append(post)
        self._new_bytes += len(post.body)
        decided = self.add(post)
        if len(self._new) >= GATHERED or self._new_bytes >= GATHERED_BYTES:
            self._examine_new()
        return await decided

    async def next_group(self) -> list[tuple[Candidate, asyncio.Future[Told]]]:
        """Return those who are next, as soon as there are any."""
        group: list[tuple[Candidate, asyncio.Future[Told]]] = []
        while not group:
            while not self._waiting:
                self._filled.clear()
                await self._filled.wait()
            self._examine_new()
            first, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
            for post, decided in first:
                if post.candidate is not None:
                    group.append((post.candidate, decided))
                elif not decided.done():
                    decided.set_exception(NoCandidateError())
        return group

    def _examine_new(self) -> None:
        if self._new:
            new, self._new, self._new_bytes = self._new, [], 0
            self._examine(new)
