"""How much each certificate is using a port right now."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.web.limits import Limits
from gateway.web.refusals import TooManyRequestsError


@dataclass(slots=True, kw_only=True)
class Usage:
    """What one certificate uses.

    Attributes:
        connections: Open connections.
        requests: Requests in work.
        tokens: Requests it may send at once; refilled with time.
        refilled_s: When that was last done, on the loop's clock.
    """

    connections: int = 0
    requests: int = 0
    tokens: float = 0.0
    refilled_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Statistics:
    """Counters of one port, for metrics.

    Attributes:
        requests: Answers by route name and status.
        connections: Connections opened so far.
        handshakes_failed: Connections that never became one.
        turned_away: Connections closed because too many were open.
        timeouts: Connections closed by a deadline, by its kind: head, body, write.
    """

    requests: dict[tuple[str, int], int] = field(default_factory=dict)
    connections: int = 0
    handshakes_failed: int = 0
    turned_away: int = 0
    timeouts: dict[str, int] = field(default_factory=dict)

    def answered(self, route: str, status: int) -> None:
        """Count an answer."""
        key = (route, status)
        self.requests[key] = self.requests.get(key, 0) + 1

    def timed_out(self, kind: str) -> None:
        """Count a deadline that closed a connection."""
        self.timeouts[kind] = self.timeouts.get(kind, 0) + 1


class Callers:
    """Keeps the usage of every certificate that has a connection open."""

    def __init__(self, limits: Limits) -> None:
        """Start without any."""
        self._limits = limits
        self._usage: dict[bytes, Usage] = {}

    def opened(self, spki: bytes, now_s: float) -> Usage:
        """Count a connection in and return the usage of its certificate."""
        usage = self._usage.get(spki)
        if usage is None:
            usage = Usage(tokens=2.0 * self._limits.requests_per_s, refilled_s=now_s)
            self._usage[spki] = usage
        usage.connections += 1
        return usage

    def is_surplus(self, usage: Usage) -> bool:
        """Return whether the connection counted in last is one too many."""
        return usage.connections > self._limits.connections_per_caller

    def closed(self, spki: bytes) -> None:
        """Count a connection out."""
        usage = self._usage.get(spki)
        if usage is not None:
            usage.connections -= 1
            if usage.connections == 0 and usage.requests == 0:
                del self._usage[spki]

    def begin(self, usage: Usage, now_s: float) -> None:
        """Let a request in. The caller counts it out by ``usage.requests -= 1``.

        Raises:
            TooManyRequestsError: The certificate has too many requests in work, or sends
                them too fast.
        """
        limits = self._limits
        rate = limits.requests_per_s
        usage.tokens = min(2.0 * rate, usage.tokens + (now_s - usage.refilled_s) * rate)
        usage.refilled_s = now_s
        if usage.requests >= limits.requests_per_caller or usage.tokens < 1.0:
            msg = "too many requests of one certificate"
            raise TooManyRequestsError(msg)
        usage.tokens -= 1.0
        usage.requests += 1
