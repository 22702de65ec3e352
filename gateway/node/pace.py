"""The pace of bundles: when the next one is made.

Each bundle costs both nodes some 10 ms of signatures and commits, whatever it holds. So the one
after a bundle with messages gathers what comes meanwhile, for longer the more is under way: fewer,
fuller bundles when the pair is busy, none of the wait when it is not, nor once what waits fills the
next one. Receipts come at the pace of the peer's bundles, so one that holds nothing else makes nobody
wait. Whatever is urgent does not wait, and takes along what does: also what becomes due while it is
only expected, because a bundle that is being made would hold it up. Acknowledgements wait for something
to travel with, and so does a receipt while the next one is about to be due.

Spec: docs/spec/exchange.md, "Sending".
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from gateway.node.waiting import wait_for
from gateway.ports import Clock

GATHER_S: Final = 0.2
"""How long an acknowledgement waits for something to travel with. Nobody's next step waits for
it, and a bundle of its own for each would double what a quiet exchange costs both nodes."""


EXPECT_S: Final = 0.15
"""How long what is not urgent waits at most for something urgent that is expected."""


class Pace:
    """Holds the next bundle back until it is time for it. Kept by the courier."""

    def __init__(self, *, clock: Clock, pace_ms: int, on_due: Callable[[], None]) -> None:
        """Begin with the first bundle due at once.

        Args:
            clock: Time.
            pace_ms: Least time between a bundle with messages and the next one; more while others are in
                flight.
            on_due: Told when what waited for company has waited long enough.
        """
        self._clock = clock
        self._pace_s = pace_ms / 1_000
        self._on_due = on_due
        self._made_s = -math.inf
        self._expected_until_s = -1.0
        self._urgent = asyncio.Event()
        self._nudge = asyncio.Event()
        self._gathering: asyncio.Task[None] | None = None
        self._gathered_s = math.inf

    @property
    def is_urgent(self) -> bool:
        """Return whether something urgent waits for the next bundle."""
        return self._urgent.is_set()

    def hurry(self) -> None:
        """Let the next bundle be made at once."""
        self._urgent.set()
        self._nudge.set()

    def expect(self) -> None:
        """Let what is not urgent wait for something urgent that will be due in a moment."""
        self._expected_until_s = self._clock.monotonic_s() + EXPECT_S

    def nudge(self) -> None:
        """Look anew how long to wait: fewer are in flight, or what waits fills the next bundle."""
        self._nudge.set()

    def later(self, most_s: float = GATHER_S) -> None:
        """Let something wait for company, so many seconds at most: the next bundle takes it along."""
        until_s = self._clock.monotonic_s() + most_s
        if self._gathering is not None:
            if self._gathered_s <= until_s:
                return
            self._gathering.cancel()
        self._gathered_s = until_s
        self._gathering = asyncio.create_task(self._gather(most_s))

    async def until_due(self, more: Callable[[], int], is_filled: Callable[[], bool]) -> bool:
        """Wait until the next bundle may be made, or something urgent comes; return whether it did.

        Args:
            more: Says for how many paces more than one it gathers what comes.
            is_filled: Says whether what waits fills the next one: there is nothing to gather then.
        """
        while not self._urgent.is_set():
            gathered_s = -math.inf if is_filled() else self._made_s + self._pace_s * (1 + more())
            due_s = max(gathered_s, self._expected_until_s)
            left = due_s - self._clock.monotonic_s()
            if left <= 0:
                break
            self._nudge.clear()
            await wait_for(self._clock, left, self._nudge)
        urgent = self._urgent.is_set()
        self._urgent.clear()
        self._expected_until_s = -1.0
        return urgent

    def making(self) -> None:
        """Note that a bundle is about to be made: it takes along what was waiting for it."""
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    def made(self) -> None:
        """Note that a bundle with messages was made: the time until the next one counts from now on."""
        self._made_s = self._clock.monotonic_s()

    def close(self) -> None:
        """Let nothing be due any more."""
        self.making()

    async def _gather(self, most_s: float) -> None:
        await wait_for(self._clock, most_s)
        self._gathering = None
        self._on_due()
