"""Forgetting idempotency keys: a repeated post gets the first answer for so many days, not for ever.

Keys are walked in their own order, some thousand a second, from one end to the other; then the
walk rests for an hour. So forgetting costs next to nothing beside traffic, keeps up with a
thousand messages a second, and needs no index by age that every message would have to pay for.

A message whose key is forgotten does not come in again: its id tells how old it is (H-01).

Spec: docs/spec/exchange.md, "Admission"; docs/operating.md, "Configuration".
"""

from __future__ import annotations

from typing import Final

import structlog

from gateway.ports import Clock, Step, Store

log = structlog.get_logger(__name__)

KEYS_A_ROUND: Final = 5_000
REST_S: Final = 3_600.0
DAY_MS: Final = 86_400_000

_BEGINNING: Final = ("", "")


class KeyMemory:
    """Forgets old keys, a round at a time."""

    def __init__(self, *, store: Store, clock: Clock, keep_days: int) -> None:
        """Wire it; keys are kept for ``keep_days``."""
        self._store = store
        self._clock = clock
        self._keep_ms = keep_days * DAY_MS
        self._after = _BEGINNING
        self._forgotten = 0
        self._next_s = 0.0

    async def round(self) -> None:
        """Look at the next keys and forget the old ones among them, unless the walk rests."""
        if self._clock.monotonic_s() < self._next_s:
            return
        after, before_ms = self._after, self._clock.now_ms() - self._keep_ms
        following, count = await self._store.write(
            Step.FORGOTTEN,
            lambda tx: tx.facts.forget_idempotent(after=after, before_ms=before_ms, limit=KEYS_A_ROUND),
        )
        self._forgotten += count
        self._after = following or _BEGINNING
        if following is None:
            self._next_s = self._clock.monotonic_s() + REST_S
            if self._forgotten:
                log.info("keys.forgotten", count=self._forgotten)
            self._forgotten = 0
