"""A clock that stands still, for what is decided by time alone."""

from __future__ import annotations

from tests.world import WorldClock


class StillClock(WorldClock):
    """Time passes only when the test says so."""

    due_s = 0.0
    """When the newest sleep ends."""

    def monotonic_s(self) -> float:
        return self._added_s

    async def _pass(self, seconds: float) -> None:
        self.due_s = end = self._added_s + seconds
        while end > self._added_s:
            await self._jumped.wait()
