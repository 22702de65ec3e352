"""Clock, randomness and disks of the machine, as the node's ports want them, and its interpreter."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gateway.ports import DiskSpace


def tune_collector() -> None:
    """Let the garbage collector look at what messages leave behind, not at what stays.

    Parsed messages hold no cycles, so nearly everything is freed by counting references. With
    the defaults the collector ran after every few messages and walked catalogue and libraries
    each time: 10 to 15 % of the CPU of a busy node.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


class SystemClock:
    """Satisfies `gateway.ports.Clock` with the machine's clocks."""

    def now_ms(self) -> int:
        """Return UTC milliseconds."""
        return time.time_ns() // 1_000_000  # noqa: TID251 - this is the clock that others take

    def monotonic_s(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()

    async def sleep(self, seconds: float, *, until: asyncio.Event | None = None) -> None:
        """Wait that long, or until the event is set if that comes first."""
        if until is None:
            await asyncio.sleep(seconds)
            return
        # A courier does this several times a bundle: a timer, and no tasks to race each other.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await until.wait()


class SystemEntropy:
    """Satisfies `gateway.ports.Entropy` with the operating system's generator."""

    def bytes(self, count: int) -> bytes:
        """Return ``count`` bytes fit for keys."""
        return os.urandom(count)

    def fraction(self) -> float:
        """Return a number from 0 up to, not including, 1."""
        return secrets.randbits(53) / (1 << 53)


class SystemDisk:
    """Satisfies `gateway.ports.Disk` with the file systems of some folders."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Look at the file systems of these folders; they must exist."""
        self._folders = tuple(dict.fromkeys(folders))

    def spaces(self) -> Sequence[DiskSpace]:
        """Return the room on each of them."""
        usages = [shutil.disk_usage(folder) for folder in self._folders]
        return [DiskSpace(free_bytes=usage.free, total_bytes=usage.total) for usage in usages]
