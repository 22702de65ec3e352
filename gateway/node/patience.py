"""Patience: when a node whose peer failed tries again, and what it thinks of the peer meanwhile.

Waits have full jitter, and their bound doubles with each failure in a row. What gives reason to
believe that the next try succeeds ends a wait early: the peer has called, something urgent has
come, an operator says so. A node that has come back calls before it takes bundles and once it
does, so a call ends a wait at once; but calls that turn out to have meant nothing do so ever
later, or two nodes that can do nothing for each other would spur each other on.
After some failures the breaker opens: the peer is asked, not sent to.

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
"""Least wait after a failure in a row of them, even if a FLASH comes meanwhile or a peer calls that refuses
what it gets; and the longest one while there is reason to believe that the next try succeeds."""

SOON_S: Final = 0.05
"""Least wait before a call of a peer that was out of reach ends it; doubles with each call in a row that
was followed by another failure, up to `THAW_S`."""

PRESSED_S: Final = 0.25
"""Longest wait for a peer that is out of reach while something urgent waits."""

CALLED_S: Final = 60.0
"""How long a call of the peer says that it is there: one that has come back may still be starting."""

MOST_DOUBLED: Final = 16
"""Times that a wait doubles; its bound is reached long before."""

BREAKER_FAILURES: Final = 5
"""Failures in a row after which the breaker opens: the peer is only asked, not sent to."""


class Breaker(StrEnum):
    """What the courier thinks of the peer."""

    CLOSED = "closed"
    OPEN = "open"
    FROZEN = "frozen"


class Patience:
    """Counts failures in a row and waits between tries. Shared by whatever asks the peer for the node.

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
        # Set since the last wait ended. A call that comes during a try counts: the peer may have
        # answered it just before it was ready.
        self._called = asyncio.Event()
        self._called_in_vain = 0
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
        """Try again at once, and every second for a minute: the peer called us, so it is there."""
        self._called_s = self._clock.monotonic_s()
        if self.breaker is not Breaker.FROZEN:
            self._called.set()
        self._try_soon()

    def pressed(self) -> None:
        """Try again soon, and often until the peer takes a bundle: something urgent waits."""
        self._presses = True
        self._try_soon()

    def hasten(self) -> None:
        """Try again within a second, however long the wait would be, and even if the pair is frozen."""
        self._thawed.set()

    def freeze(self) -> None:
        """Wait for people."""
        self.breaker = Breaker.FROZEN

    def trust(self) -> None:
        """Begin anew, unless the pair is frozen: the peer has answered what had to be known first."""
        self._failures = 0
        self.trouble = ""
        if self.breaker is Breaker.OPEN:
            self.breaker = Breaker.CLOSED

    def reached(self, mirrored_size: int) -> None:
        """Note that the peer took what there was to take: it works again.

        An answered `view` alone does not count, or a peer that answers questions and
        refuses every bundle would be tried without a pause.
        """
        if self._failures:
            log.info("peer.reached", peer=self._peer, mirrored_size=mirrored_size)
        self._failures = self._called_in_vain = 0
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
        if _is_away(error):
            soon = min(least, SOON_S * 2**self._called_in_vain)
            await wait_for(self._clock, soon)
            await wait_for(self._clock, least - soon, self._called)
        else:
            self._called.clear()
            await wait_for(self._clock, least)
        if not self._called.is_set():
            await wait_for(self._clock, wait - least, self._thawed)
        self._called_in_vain = min(self._called_in_vain + 1, MOST_DOUBLED) if self._called.is_set() else 0
        self._called.clear()

    def _wait_s(self, error: GatewayError) -> float:
        """Return how long to wait, if nothing gives reason to try earlier."""
        bound: float = min(
            self.first_wait_s * 2 ** min(self._failures - 1, MOST_DOUBLED), self.longest_wait_s
        )
        if isinstance(error, PeerConflictError) and self._failures == 1:
            return 0.0  # the peer is there and has told us where to go on
        asked = 0.0
        if isinstance(error, UnavailableError):
            asked = min(float(error.retry_after_s), bound) if error.retry_after_s > 1 else 0.0
        if _is_away(error):
            bound = min(bound, self._longest_s)
        return max(bound * (0.25 + 0.75 * self._entropy.fraction()), asked)

    def _try_soon(self) -> None:
        if self.breaker is not Breaker.FROZEN:  # a frozen pair waits for people
            self._thawed.set()

    @property
    def _longest_s(self) -> float:
        """Return how long a peer that was out of reach is left in peace at most."""
        if self._presses:
            return PRESSED_S
        called_s = self._called_s
        is_there = called_s is not None and self._clock.monotonic_s() - called_s < CALLED_S
        return THAW_S if is_there else self.longest_wait_s


def _is_away(error: GatewayError) -> bool:
    """Return whether the peer was out of reach or could not do it now: neither refusal nor our own keys."""
    return isinstance(error, UnavailableError) and not isinstance(error, SigningAwayError)
