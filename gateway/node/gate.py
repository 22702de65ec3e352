"""The gate before content: closed until what was erased once is erased again.

A database that was restored from a backup holds content that was destroyed since. Nothing
of a node shows content before the gate has opened; it opens a moment after the start.

Spec: docs/spec/erasure.md, "After a restore".
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.errors import UnavailableError

PATIENCE_S: Final = 5.0
"""Seconds that a caller waits for the gate before it is told to come again."""


class RecoveringError(UnavailableError):
    """The node is getting back to where it was; it does not do this meanwhile."""

    code = "recovering"


class Gate:
    """Opens once in the life of a process."""

    def __init__(self) -> None:
        """Begin closed."""
        self._opened = asyncio.Event()

    def open(self) -> None:
        """Let everyone through from now on."""
        self._opened.set()

    async def passed(self) -> None:
        """Return once the gate is open.

        Raises:
            RecoveringError: It has not opened in the time that a caller waits.
        """
        if self._opened.is_set():
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._opened.wait()
        except TimeoutError:
            msg = "what was erased before the last stop is being erased again"
            raise RecoveringError(msg, retry_after_s=5) from None
