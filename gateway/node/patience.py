"""Patience: when a courier whose peer failed tries again, and what it thinks of the peer meanwhile.

Waits have full jitter, and their bound doubles with each failure in a row. What gives reason to
believe that the next try succeeds ends a wait early: the peer has called, something urgent has
come, an operator says so. After some failures the breaker opens: the peer is asked, not sent to.

Spec: docs/spec/exchange.md, "Sending".
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Final

import structlog

from gateway.core.signature import SigningAwayError
from gateway.errors import GatewayError, PairFrozenError, PeerConflictError, UnavailableError
from gateway.node.waiting import wait_for
from gateway.ports import Clock, Entropy

log = structlog.get_logger(__name__)

THAW_S: Final = 1.0
"""Least wait after a failure in a row of them, even if the peer calls or a FLASH comes meanwhile;
and the longest one while there is reason to believe that the next try succeeds, or need that it does."""

CALLED_S: Final = 60.0
"""How long a call of the peer says that it is there: one that has come back may still be starting."""

BREAKER_FAILURES: Final = 5
"""Failures in a row after which the breaker opens: the peer is only asked, not sent to."""


class Breaker(StrEnum):
    """What the courier thinks of the peer."""

    CLOSED = "closed"
    OPEN = "open"
    FROZEN = "frozen"


class Patience:
    """Counts failures in a row and waits between tries. Kept by the courier.

    Attributes:
        breaker: What is thought of the peer.
        trouble: Code of the error that the last try ended with; empty while the peer works.
        first_wait_s: Upper bound of the wait after a first failure; doubles each time.
        longest_wait_s: Upper bound of any wait between two tries.
    """

    def __init__(
        self, *, peer: str, clock: Clock, entropy: Entropy, first_wait_s: float, longest_wait_s: float
    ) -> None:
        """Begin with trust in ``peer``, a node's name."""
        self._peer = peer
        self._clock = clock
        self._entropy = entropy
        self.first_wait_s = first_wait_s
        self.longest_wait_s = longest_wait_s
        self._thawed = asyncio.Event()
        self._called_s: float | None = None
        # True from something urgent on until the peer takes a bundle.
        self._presses = False
        self._failures = 0
        self.breaker = Breaker.CLOSED
        self.trouble = ""

    @property
    def reachable(self) -> bool:
        """Return whether the last exchange with the peer worked, or only our own keys were out of reach."""
        failed = self._failures > 0 and self.trouble != SigningAwayError.code
        return not failed and self.breaker is Breaker.CLOSED

    def called(self) -> None:
        """Try again soon, and every second for a minute: the peer called us, so it is there."""
        self._called_s = self._clock.monotonic_s()
        self._try_soon()

    def pressed(self) -> None:
        """Try again soon, and every second until the peer takes a bundle: something urgent waits."""
        self._presses = True
        self._try_soon()

    def hasten(self) -> None:
        """Try again within a second, however long the wait would be, and even if the pair is frozen."""
        self._thawed.set()

    def freeze(self) -> None:
        """Wait for people."""
        self.breaker = Breaker.FROZEN

    def reached(self, mirrored_size: int) -> None:
        """Note that the peer took what there was to take: it works again.

        An answered `view` alone does not count, or a peer that answers questions and
        refuses every bundle would be tried without a pause.
        """
        if self._failures:
            log.info("peer.reached", peer=self._peer, mirrored_size=mirrored_size)
        self._failures = 0
        self._presses = False
        self.trouble = ""
        self.breaker = Breaker.CLOSED

    async def wait(self, error: GatewayError) -> None:
        """Return when it is time for another try after one that ended in ``error``."""
        self._failures += 1
        self.trouble = error.code
        frozen = isinstance(error, PairFrozenError)
        is_ours = isinstance(error, SigningAwayError)
        if frozen:
            self.breaker = Breaker.FROZEN
        elif not is_ours and self._failures >= BREAKER_FAILURES and self.breaker is Breaker.CLOSED:
            self.breaker = Breaker.OPEN
        wait = self._wait_s(error)
        if (self._failures in {1, BREAKER_FAILURES} and not is_ours) or frozen:
            log.warning(
                "peer.failed",
                peer=self._peer,
                code=error.code,
                failures=self._failures,
                wait_ms=int(wait * 1_000),
            )
        # A peer that calls us is there again, and a FLASH is worth a try, so the wait may end early:
        # but two nodes that refuse each other's bundles must not spur each other on.
        least = min(wait, THAW_S)
        self._thawed.clear()
        await wait_for(self._clock, least)
        await wait_for(self._clock, wait - least, self._thawed)

    def _wait_s(self, error: GatewayError) -> float:
        """Return how long to wait, if nothing gives reason to try earlier."""
        bound: float = min(self.first_wait_s * 2 ** min(self._failures - 1, 16), self.longest_wait_s)
        wait = bound * (0.25 + 0.75 * self._entropy.fraction())
        if isinstance(error, PeerConflictError) and self._failures == 1:
            return 0.0  # the peer is there and has told us where to go on
        if isinstance(error, UnavailableError):
            asked = min(float(error.retry_after_s), bound) if error.retry_after_s > 1 else 0.0
            wait = max(wait, asked)
            if not isinstance(error, SigningAwayError) and self._is_worth_a_try:
                wait = min(wait, max(asked, THAW_S))
        return wait

    def _try_soon(self) -> None:
        if self.breaker is not Breaker.FROZEN:  # a frozen pair waits for people
            self._thawed.set()

    @property
    def _is_worth_a_try(self) -> bool:
        """Return whether a peer that was out of reach is asked each second all the same."""
        called_s = self._called_s
        return self._presses or (called_s is not None and self._clock.monotonic_s() - called_s < CALLED_S)
