"""What is due for the peer, how long it waits for company, and who waits until it has left.

Whoever has something for the peer says so here; the courier makes the next bundle when it is time
for it (`gateway.node.pace`). Others can wait for that bundle: an inbox and a cosignature make way
for the receipt, and the peer's next bundle for the receipt of what is urgent.

What a crash leaves behind: nothing; the courier looks for all that is due when it starts.

Spec: docs/spec/exchange.md, "Sending"; docs/adr/0041-what-shares-a-commit.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from gateway.core.states import Precedence
from gateway.node.pace import Pace
from gateway.node.patience import Patience
from gateway.node.waiting import Change, wait_for
from gateway.node.window import Window
from gateway.ports import Clock

RIGHT_OF_WAY_S: Final = 0.04
"""How long what is urgent has right of way at most, once it is due: twice what making its bundle takes."""

RECEIPTS_S: Final = 0.05
"""How long a receipt waits at most for the next one while bundles overlap: a bundle for each would cost
both nodes some 5 ms, which behind a backlog is a third of what 128 messages take."""


class Due:
    """Knows whether something is due for the peer, and how urgent it is. Kept by the courier."""

    def __init__(
        self, *, clock: Clock, pace_ms: int, patience: Patience, window: Window, on_hurry: Callable[[], None]
    ) -> None:
        """Begin with something due: only a look at the database says that nothing is.

        Args:
            clock: Time.
            pace_ms: Least time between a bundle with messages and the next one.
            patience: Says whether the peer is there; tries it sooner for what is urgent.
            window: Keeps the queue short for what is urgent.
            on_hurry: Told when what is due waits for no room.
        """
        self._clock = clock
        self._patience = patience
        self._window = window
        self._on_hurry = on_hurry
        self._pace = Pace(clock=clock, pace_ms=pace_ms, on_due=self.set)
        self.look = asyncio.Event()
        """Set when the courier has to look at what there is to do."""
        # False while all that may be due are acknowledgements that still wait for company.
        self._is_due = True
        # Whether a bundle is being made, how often one was, and who waits for the end of that.
        self._is_making = False
        self._makings = 0
        self._making = Change()
        # Cleared from something urgent on until a bundle left that took it along.
        self._urgent_left = asyncio.Event()
        self._urgent_left.set()

    # --- for who has something for the peer ----------------------------------------------

    def accepting(self, rank: int, messages: int) -> None:
        """Say that so many messages are being accepted, the most urgent with this precedence number."""
        self._window.joined(messages)
        if self._window.is_filled:
            self._pace.nudge()
        self.notify(rank)

    def notify(self, rank: int | None = None) -> None:
        """Say that something is due; ``rank`` is the precedence number of a message."""
        if rank is not None and rank <= Precedence.IMMEDIATE:
            self._patience.pressed()
            self._window.pressed()
            self._urgent_left.clear()
            self.hurry()
        else:
            self.set()

    def notify_later(self) -> None:
        """Say that something is due that can wait a little: the next bundle takes it along."""
        self._pace.later()

    def receipt(self, rank: int | None, *, gathers: bool) -> None:
        """Say that a receipt is about to be due.

        Args:
            rank: Most urgent precedence number of its messages, or None if none opened.
            gathers: Whether it waits a moment for the next one, unless it is urgent: bundles overlap, as they
                do behind a backlog.
        """
        if gathers and (rank is None or rank > Precedence.IMMEDIATE):
            self._pace.later(RECEIPTS_S)
        else:
            self.notify(rank)

    def expect(self) -> None:
        """Make way: something urgent is here, whose receipt will be due in a moment."""
        self._pace.expect()

    # --- for who waits until it has left -------------------------------------------------

    async def caught_up(self, most_s: float) -> None:
        """Return once what is due now is signed, or ``most_s`` seconds are over; at once if the peer is away.

        A bundle that is being made may have begun too early for what is due: then the next one takes it.
        """
        last = self._makings + self._is_making + self._is_due
        until_s = self._clock.monotonic_s() + most_s
        while self._makings < last and self._patience.reachable:
            left = until_s - self._clock.monotonic_s()
            if left <= 0:
                return
            await wait_for(self._clock, left, self._making.next)

    async def urgent_left(self) -> None:
        """Return once everything urgent has left; after 40 ms in any case, at once if the peer is away."""
        if self._patience.reachable:
            await wait_for(self._clock, RIGHT_OF_WAY_S, self._urgent_left)

    # --- for the courier -----------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """Return whether a bundle could be made of something."""
        return self._is_due

    @property
    def is_urgent(self) -> bool:
        """Return whether something urgent waits for the next bundle."""
        return self._pace.is_urgent

    def set(self) -> None:
        """Let the courier look for what is due."""
        self._is_due = True
        self.look.set()

    def hurry(self) -> None:
        """Let the courier go on at once, wherever it waits."""
        self.set()
        self._pace.hurry()
        self._on_hurry()

    def landed(self) -> None:
        """Look anew how long to wait: fewer bundles are in flight."""
        self._pace.nudge()

    async def until_time(self, in_flight: Callable[[], tuple[int, int]]) -> bool:
        """Wait until the next bundle may be made; return whether something urgent has ended the wait.

        Args:
            in_flight: Says how many bundles are under way, and how many messages in them.
        """
        window = self._window
        return await self._pace.until_due(lambda: window.paces(*in_flight()), lambda: window.is_filled)

    @contextmanager
    def making(self) -> Iterator[None]:
        """Make a bundle of what is due, within."""
        self._is_due = False
        self._pace.making()
        self._is_making = True
        try:
            yield
        finally:
            self._is_making = False
            self._makings += 1
            self._making.happened()

    def made(self, *, messages: bool, more: bool) -> None:
        """Take note of a bundle that was made: whether it holds messages, and whether more is due."""
        self._is_due |= more
        if messages:
            self._pace.made()

    def left(self) -> None:
        """Take note that a bundle has left."""
        if not self._pace.is_urgent:
            self._urgent_left.set()

    def close(self) -> None:
        """Let nothing be due any more."""
        self._pace.close()
