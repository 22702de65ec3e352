"""Vouching: how this node cosigns the peer's log, once it remembers that it did.

A cosignature says that every entry below a size is held durably. So the high-water mark of the
mirror is made durable first: a database that is restored from a backup has forgotten what was
cosigned, the mark has not.

Spec: docs/spec/log.md, "Notes"; docs/spec/exchange.md, "Receiving".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.core.cosignature import cosign
from gateway.core.merkle import Hash
from gateway.core.signature import HybridSigner
from gateway.node.workers import Workers
from gateway.ports import Clock, HighWater, Keyring

BETWEEN_S: Final = 0.1
"""Least time between two cosignatures of bundles as they come. A cosignature covers all that came before
it, and costs both nodes 2 ms of CPU, a tenth of what a small bundle costs with its receipt."""

Marks = Mapping[str, tuple[int, Hash]]
"""Size and root by origin."""


class Voucher:
    """Marks states of the peer's log and cosigns them. Kept by the intake."""

    def __init__(self, *, keyring: Keyring, high_water: HighWater, clock: Clock, workers: Workers) -> None:
        """Wire it.

        Args:
            keyring: Holds the cosigner.
            high_water: Remembers what was cosigned.
            clock: Time of a cosignature.
            workers: Threads for signatures.
        """
        self._keyring = keyring
        self._high_water = high_water
        self._clock = clock
        self._workers = workers
        self._last_s = 0
        self._next_at_s = 0.0
        # Messages were answered for without a cosignature since the last one.
        self._owes = False

    def takes_turn(self, *, messages: bool) -> bool:
        """Return whether this bundle's answer brings a cosignature; the time until another one begins then.

        Args:
            messages: Whether the bundle holds any. One that holds none brings what is owed for others.
        """
        self._owes |= messages
        now_s = self._clock.monotonic_s()
        if not self._owes or now_s < self._next_at_s:
            return False
        self._owes, self._next_at_s = False, now_s + BETWEEN_S
        return True

    def not_before(self, at_ms: int) -> None:
        """Cosign under no earlier time than this one: times only grow, even if the clock was set back."""
        self._last_s = max(self._last_s, at_ms // 1_000)

    async def mark(self, marks: Marks) -> None:
        """Return once the high-water marks are durable."""
        await self._high_water.record(marks)

    async def cosign(self, note: bytes, marks: Marks) -> bytes:
        """Return a note with our lines, made once its marks are durable."""
        self._last_s = max(self._clock.now_ms() // 1_000, self._last_s)
        return await self._workers.sign(
            self._vouch, note, marks, cosigner=self._keyring.cosigner, time_s=self._last_s
        )

    def _vouch(self, note: bytes, marks: Marks, *, cosigner: HybridSigner, time_s: int) -> bytes:
        self._high_water.record_now(marks)
        return cosign(note, cosigner=cosigner, time_s=time_s)
