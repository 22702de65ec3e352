"""The clock and the randomness of the machine, as the node's ports want them."""

from __future__ import annotations

import asyncio
import os
import secrets
import time


class SystemClock:
    """Satisfies `gateway.ports.Clock` with the machine's clocks."""

    def now_ms(self) -> int:
        """Return UTC milliseconds."""
        return time.time_ns() // 1_000_000  # noqa: TID251 - this is the clock that others take

    def monotonic_s(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait that long."""
        await asyncio.sleep(seconds)


class SystemEntropy:
    """Satisfies `gateway.ports.Entropy` with the operating system's generator."""

    def bytes(self, count: int) -> bytes:
        """Return ``count`` bytes fit for keys."""
        return os.urandom(count)

    def fraction(self) -> float:
        """Return a number from 0 up to, not including, 1."""
        return secrets.randbits(53) / (1 << 53)
