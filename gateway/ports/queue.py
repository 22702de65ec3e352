"""What waits and what went wrong, as a closure asks for it inside a transaction: for operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.core.states import State
from gateway.ports.rows import MessageRow


class Queue(Protocol):
    """Looks at outgoing messages that are not where they should be, and at requests that are late.

    Nothing here opens content, and nothing here changes anything.
    """

    def waiting(self, *, limit: int) -> list[MessageRow]:
        """Return accepted messages in the order in which they will be sent."""
        ...

    def waiting_by_agency(self) -> Mapping[str, int]:
        """Return how many messages of each agency are accepted and not sent.

        Walks everything that waits; ask seldom.
        """
        ...

    def oldest_waiting_ms(self) -> int | None:
        """Return when the oldest message was accepted that waits, UTC milliseconds; None if none does.

        After a precedence was raised it may be that of a younger one, which is sent earlier.
        """
        ...

    def unconfirmed(self, *, limit: int) -> list[MessageRow]:
        """Return *sent* messages, which the peer has not confirmed to hold, in order of the log."""
        ...

    def unanswered(self, *, limit: int) -> list[MessageRow]:
        """Return *delivered* messages, of which no receipt tells yet, in order of the log.

        Of the newest 100,000 entries of the log: receipts come in its order, so it is there
        that they are missing.
        """
        ...

    def ended(self, state: State, *, limit: int) -> list[MessageRow]:
        """Return messages that ended *refused* or *expired*, the newest first."""
        ...

    def overdue(self, now_ms: int, *, limit: int) -> list[MessageRow]:
        """Return open requests, in either direction, whose deadline is over, the longest first."""
        ...

    def count_overdue(self, now_ms: int) -> int:
        """Return how many open requests are over their deadline."""
        ...
