"""How much a port takes on, and for how long it waits.

Spec: docs/spec/peer-calls.md, "Limits"; docs/api.md, "Limits".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIB: Final = 1_048_576

MAX_REQUEST_LINE: Final = 2_048
MAX_HEADER_LINE: Final = 8_192
MAX_HEADERS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one port. Times are in seconds.

    Attributes:
        head_s: From the first byte of a request (or the end of the handshake) until its
            header lines are complete.
        body_s: From there until a body of up to 1 MiB is complete.
        write_s: Until a client has taken an answer of up to 1 MiB.
        bytes_per_s: A larger body or answer gets one more second for so many bytes.
        idle_s: A kept connection without a request is closed after this.
        age_s: A connection is closed after the answer that finds it older than this, so
            that certificates are looked at again.
        handshake_s: TLS handshake.
        drain_s: At the end, requests in work get so long to finish.
        handshakes: Handshakes at once; more wait in the listen queue.
        connections: Open connections; more are closed at once.
        connections_per_caller: Open connections of one certificate; more get 429.
        requests_per_caller: Requests of one certificate in work at once; more get 429.
        requests_per_s: Requests of one certificate a second, with bursts of twice that;
            more get 429.
        body_bytes: Memory for large bodies that are arriving or in work at once; more get 429.
    """

    head_s: float = 10.0
    body_s: float = 10.0
    write_s: float = 10.0
    bytes_per_s: int = MIB
    idle_s: float = 75.0
    age_s: float = 900.0
    handshake_s: float = 10.0
    drain_s: float = 10.0
    handshakes: int = 64
    connections: int = 1_000
    connections_per_caller: int = 256
    requests_per_caller: int = 512
    requests_per_s: int = 5_000
    body_bytes: int = 256 * MIB

    def body_deadline_s(self, length: int) -> float:
        """Return the seconds within which a body of this length has to be complete."""
        return self.body_s + max(0, length - MIB) / self.bytes_per_s

    def write_deadline_s(self, length: int) -> float:
        """Return the seconds within which an answer of this length has to be taken."""
        return self.write_s + max(0, length - MIB) / self.bytes_per_s
