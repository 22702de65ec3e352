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
