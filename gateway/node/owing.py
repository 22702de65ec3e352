"""Owing: what the peer took without cosigning it yet, and the question for that cosignature.

The peer cosigns ten times a second at most (ADR 0049). What it took in between is covered by the
next cosignature, which comes with the answer to a later bundle. Where none comes soon it is asked
for, beside the courier's loop: nothing that is due waits for the answer.

What a crash leaves behind: nothing; the courier asks the peer's view when it starts.

Spec: docs/spec/exchange.md, "Receiving"; docs/adr/0049-ten-cosignatures-a-second.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.errors import GatewayError
from gateway.node.deliveries import Deliveries
from gateway.node.waiting import wait_for
from gateway.ports import Clock, PeerLink

ASK_AFTER_S: Final = 0.15
"""Seconds after the last answer without a cosignature: by then the next bundle would have brought it."""


class Owing:
    """Knows up to where the peer owes a cosignature, and asks for it. Kept by the courier."""

    def __init__(
        self,
        *,
        clock: Clock,
        link: PeerLink,
        deliveries: Deliveries,
        on_doubt: Callable[[], None],
        on_failed: Callable[[BaseException], None],
    ) -> None:
        """Begin with nothing owed.

        Args:
            clock: Time.
            link: The peer.
            deliveries: Verifies and records what the peer cosigned.
            on_doubt: Told that the answer does not fit what is known: the courier has to ask by itself.
            on_failed: Told why the question came to nothing.
        """
        self._clock = clock
        self._link = link
        self._deliveries = deliveries
        self._on_doubt = on_doubt
        self._on_failed = on_failed
        self._size = 0
        self._proven = 0
        self._since_s = 0.0
        self._asking: asyncio.Task[None] | None = None

    @property
    def size(self) -> int:
        """Return up to where messages that the peer took are not cosigned, 0 if all are."""
        return self._size

    def took(self, size: int) -> None:
        """Note that the peer took messages up to a size, and answered without a cosignature."""
        if size <= self._proven:
            return  # a later one was quicker
        self._size = max(self._size, size)
        self._since_s = self._clock.monotonic_s()
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_when_due())
            self._asking.add_done_callback(self._ended)

    def proven(self, size: int) -> None:
        """Note a verified cosignature."""
        self._proven = max(self._proven, size)
        if self._size <= self._proven:
            self._size = 0

    def restart(self, size: int) -> None:
        """Begin anew with a peer that was asked: it holds so much, and gave the cosignature that it could."""
        self._size, self._proven = 0, size

    def close(self) -> None:
        """Drop the question, also one that is under way: somebody asks anew, or nobody will."""
        if self._asking is not None:
            self._asking.cancel()

    async def _ask_when_due(self) -> None:
        try:
            while self._size:
                left = self._since_s + ASK_AFTER_S - self._clock.monotonic_s()
                if left > 0:
                    await wait_for(self._clock, left)
                else:
                    await self._ask()
        finally:
            self._asking = None

    async def _ask(self) -> None:
        # Read before the question: what is recorded meanwhile may be more than the answer covers.
        known = self._deliveries.size or 0
        asked = self._size
        view = await self._link.view()
        if view.mirrored_size < known:
            self.restart(0)
            self._on_doubt()
            return
        if view.mirrored is not None:
            proof = await self._deliveries.verify(view.mirrored)
            self._deliveries.record_soon(proof)
            self.proven(proof.checkpoint.size)
        if self._size == asked:
            # It may not cosign now; the courier asks each minute.
            self._size = 0

    def _ended(self, asking: asyncio.Task[None]) -> None:
        if asking.cancelled() or (error := asking.exception()) is None:
            return
        if isinstance(error, GatewayError):
            self._size = 0
        self._on_failed(error)
