"""Waiting on the node's clock for whichever comes first: an event or a time."""

from __future__ import annotations

import asyncio

from gateway.ports import Clock


async def wait_for(clock: Clock, seconds: float, event: asyncio.Event | None = None) -> None:
    """Return when ``event`` is set or ``seconds`` are over on ``clock``.

    A time of zero or less returns at once.
    """
    if seconds <= 0 or (event is not None and event.is_set()):
        return
    await clock.sleep(seconds, until=event)


class Change:
    """Wakes everyone who waits for the next change of something.

    Attributes:
        next: Set by the next change; to be taken before one looks, and awaited after.
    """

    def __init__(self) -> None:
        """Begin with nothing changed."""
        self.next = asyncio.Event()

    def happened(self) -> None:
        """Let everyone who waits look again."""
        event, self.next = self.next, asyncio.Event()
        event.set()
