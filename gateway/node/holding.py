"""Holding: bundles that have come a moment too early wait until they may be taken.

One that comes while this node starts, which the peer sends as soon as it is called; and one whose
predecessors are still on their way, because several are under way at once. They wait in memory,
so few do, and not for long: the sender is told to come again, and where from.

Spec: docs/spec/exchange.md, "Receiving", check 3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.node.waiting import Change

MAX_HELD: Final = 3
"""Bundles held at once; a well-behaved sender has four under way."""

HOLD_S: Final = 2.0
"""Seconds that one is held at most."""


class Holding:
    """Lets calls wait for a change, a few of them and for a short time. Kept by the intake."""

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self._held = 0
        self._change = Change()

    def changed(self) -> None:
        """Let everyone who waits look again."""
        self._change.happened()

    async def until(self, may: Callable[[], bool]) -> bool:
        """Return whether a bundle may be taken: once it may, `HOLD_S` later, or at once if too many wait."""
        if may():
            return True
        if self._held >= MAX_HELD:
            return False
        self._held += 1
        try:
            async with asyncio.timeout(HOLD_S):
                while not may():
                    await self._change.next.wait()
        except TimeoutError:
            return may()
        finally:
            self._held -= 1
        return True
