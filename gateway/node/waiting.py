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
    waits: list[asyncio.Future[object]] = [asyncio.ensure_future(clock.sleep(seconds))]
    if event is not None:
        waits.append(asyncio.ensure_future(event.wait()))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
